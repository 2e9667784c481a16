/* A copy of a ledger while the service writes to it.
 *
 * SQLite's own backup, in one step: it reads one moment of the database under a read transaction,
 * which holds up nobody in WAL mode; in several steps it would begin anew with every commit of the
 * service. The copy is set to a rollback journal, so that one file is all of it: the next owner
 * sets it to WAL again. */
#include "ledger_internal.h"
#include "ledger_repair.h"

#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool make_copy_file(const char *path, struct err *err)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

    if (fd < 0 && errno == EEXIST) {
        return err_set(err, ERR_USAGE, errno,
                       "%s is there already, and nothing is written over: give another name", path);
    }
    if (fd < 0) {
        return err_set(err, ERR_FAILED, errno, "%s cannot be made: %s", path, strerror(errno));
    }
    close(fd);
    return true;
}

static bool copy_failed(const char *path, sqlite3 *copy, struct err *err)
{
    return err_set(err, ERR_FAILED, sqlite3_extended_errcode(copy), "%s cannot be written: %s",
                   path, sqlite3_errmsg(copy));
}

static bool copy_into(struct ledger *ledger, const char *path, struct err *err)
{
    sqlite3 *copy = NULL;
    sqlite3_backup *backup;
    bool good = false;

    if (sqlite3_open_v2(path, &copy, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        copy_failed(path, copy, err);
        sqlite3_close(copy);
        return false;
    }
    backup = sqlite3_backup_init(copy, "main", ledger->db, "main");
    if (backup != NULL) {
        sqlite3_backup_step(backup, -1);
        good = sqlite3_backup_finish(backup) == SQLITE_OK &&
               sqlite3_exec(copy, "PRAGMA journal_mode = DELETE", NULL, NULL, NULL) == SQLITE_OK;
    }
    good = good || copy_failed(path, copy, err);
    sqlite3_close(copy);
    return good;
}

/* The file and its name are on the disk. */
static bool sync_path(const char *path, int flags, struct err *err)
{
    const int fd = open(path, flags | O_CLOEXEC);
    const bool good = fd >= 0 && fsync(fd) == 0;
    const int cause = errno;

    if (fd >= 0) {
        close(fd);
    }
    return good ||
           err_set(err, ERR_FAILED, cause, "%s cannot be synced: %s", path, strerror(cause));
}

static bool sync_copy(const char *path, struct err *err)
{
    char *folder = mem_text(path);
    char *slash = strrchr(folder, '/');
    bool good;

    if (slash != NULL) {
        slash[slash == folder ? 1 : 0] = '\0';
    }
    good = sync_path(path, O_RDONLY, err) &&
           sync_path(slash == NULL ? "." : folder, O_RDONLY | O_DIRECTORY, err);
    free(folder);
    return good;
}

bool ledger_backup(const char *path, const char *copy_path, struct err *err)
{
    struct ledger *ledger = NULL;
    bool good;

    if (!ledger_open_to_read(path, &ledger, err)) {
        return false;
    }
    if (!make_copy_file(copy_path, err)) {
        ledger_close(ledger);
        return false;
    }
    good = copy_into(ledger, copy_path, err) && sync_copy(copy_path, err);
    if (!good) {
        unlink(copy_path);
    }
    ledger_close(ledger);
    return good;
}
