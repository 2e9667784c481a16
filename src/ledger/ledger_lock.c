/* One live owner (O1): an OFD lock on LEDGER.lock, held until the process ends, however it ends.
 *
 * The lock is on a file of its own because closing any descriptor of the database itself would drop
 * SQLite's locks. The file stays behind; its content is the owner's pid, for people and for the
 * message of the process that is refused. The path is resolved first, so that two symlinks to one
 * ledger meet at one lock. OFD locks are not kept by every network file system, and SQLite's WAL
 * needs shared memory: such file systems are refused. */
#include "ledger_internal.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PID_TEXT_SIZE = 32 };

static const int64_t NETWORK_MAGICS[] = {
    0x6969,     /* NFS */
    0x517b,     /* SMB */
    0xff534d42, /* CIFS */
    0xfe534d42, /* SMB2 */
    0x01021997, /* 9P */
    0x00c36400, /* Ceph */
    0x0bd00bd0, /* Lustre */
    0x5346414f, /* AFS */
    0x6b414653, /* the kernel's AFS */
    0x73757245, /* Coda */
    0x564c,     /* NCP */
    0x7461636f, /* OCFS2 */
    0x01161970, /* GFS2 */
    0x47504653, /* GPFS */
};

bool ledger_lock_is_network(int64_t magic)
{
    for (size_t i = 0; i < sizeof(NETWORK_MAGICS) / sizeof(NETWORK_MAGICS[0]); i++) {
        if (magic == NETWORK_MAGICS[i]) {
            return true;
        }
    }
    return false;
}

static bool refuse_network(const struct ledger *ledger, struct err *err)
{
    struct statfs file_system;

    if (statfs(ledger->real_path, &file_system) != 0) {
        return err_set(err, ERR_LEDGER, errno, "ledger %s: cannot see its file system: %s",
                       ledger->path, strerror(errno));
    }
    /* f_type is signed on some machines: compare its low 32 bits. */
    if (ledger_lock_is_network((int64_t)(uint32_t)file_system.f_type)) {
        return err_set(err, ERR_LEDGER, 0,
                       "ledger %s: lies on a network file system (type 0x%" PRIx32
                       "), where locks can't be trusted; move it to a local disk (ledger.path)",
                       ledger->path, (uint32_t)file_system.f_type);
    }
    return true;
}

/* The pid in the lock's file, 0 when there is none. */
static int64_t read_pid(int fd)
{
    char text[PID_TEXT_SIZE];
    const ssize_t size = pread(fd, text, sizeof(text) - 1, 0);

    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const long pid = strtol(text, NULL, 10);
    return pid > 0 ? pid : 0;
}

static bool refused(const struct ledger *ledger, const char *lock_path, int fd, struct err *err)
{
    const int64_t pid = read_pid(fd);

    if (pid == 0) {
        return err_set(err, ERR_LOCKED, 0, "ledger %s: another process holds its lock %s",
                       ledger->path, lock_path);
    }
    return err_set(err, ERR_LOCKED, 0, "ledger %s: process %" PRId64 " holds its lock %s",
                   ledger->path, pid, lock_path);
}

static bool write_pid(int fd)
{
    char text[PID_TEXT_SIZE];
    const int size = snprintf(text, sizeof(text), "%ld\n", (long)getpid());

    return ftruncate(fd, 0) == 0 && pwrite(fd, text, (size_t)size, 0) == size;
}

static bool take(struct ledger *ledger, const char *lock_path, struct err *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    ledger->lock_fd = open(lock_path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (ledger->lock_fd < 0) {
        return err_set(err, ERR_LEDGER, errno, "ledger %s: cannot open its lock %s: %s",
                       ledger->path, lock_path, strerror(errno));
    }
    if (fcntl(ledger->lock_fd, F_OFD_SETLK, &lock) != 0) {
        const int cause = errno;

        if (cause == EAGAIN || cause == EACCES) {
            return refused(ledger, lock_path, ledger->lock_fd, err);
        }
        return err_set(err, ERR_LEDGER, cause, "ledger %s: cannot lock %s: %s", ledger->path,
                       lock_path, strerror(cause));
    }
    /* The pid is only a name for people: a full disk must not keep a ledger from being opened. */
    (void)!write_pid(ledger->lock_fd);
    return true;
}

bool ledger_lock(struct ledger *ledger, struct err *err)
{
    char *lock_path;
    bool taken;

    if (!refuse_network(ledger, err)) {
        return false;
    }
    lock_path = mem_print("%s.lock", ledger->real_path);
    taken = take(ledger, lock_path, err);
    free(lock_path);
    return taken;
}

int64_t ledger_lock_owner(const struct ledger *ledger)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *lock_path = mem_print("%s.lock", ledger->real_path);
    const int fd = open(lock_path, O_RDONLY | O_CLOEXEC);
    int64_t owner = 0;

    free(lock_path);
    if (fd < 0) {
        return 0;
    }
    if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK) {
        const int64_t pid = read_pid(fd);

        owner = pid > 0 ? pid : -1;
    }
    close(fd);
    return owner;
}
