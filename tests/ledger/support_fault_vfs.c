/* The shim stands before the default VFS: a file of ours holds the real one behind it, and every
 * method counts first. */
#include "support_fault_vfs.h"

#include <assert.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* lies behind this struct */
};

static sqlite3_vfs *real_vfs;
static struct fault_plan armed;
static unsigned seen;
static bool fired;
static atomic_uint syncs;
static atomic_uint sync_ms;

static bool fails(enum fault_call call)
{
    if (armed.nth == 0 || (armed.calls & (unsigned)call) == 0) {
        return false;
    }
    seen++;
    if (seen == armed.nth || (armed.lasting && seen > armed.nth)) {
        fired = true;
        return true;
    }
    return false;
}

static int code_of(int io_error)
{
    return armed.kind == FAULT_DISK_FULL ? SQLITE_FULL : io_error;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)(void *)file)->real;
}

static int file_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int file_read(sqlite3_file *file, void *bytes, int size, sqlite3_int64 offset)
{
    return fails(FAULT_READ) ? SQLITE_IOERR_READ
                             : real_of(file)->pMethods->xRead(real_of(file), bytes, size, offset);
}

static int file_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 offset)
{
    if (fails(FAULT_WRITE)) {
        if (armed.kind == FAULT_TORN && size > 1) {
            real_of(file)->pMethods->xWrite(real_of(file), bytes, size / 2, offset);
        }
        return code_of(SQLITE_IOERR_WRITE);
    }
    return real_of(file)->pMethods->xWrite(real_of(file), bytes, size, offset);
}

static int file_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return fails(FAULT_TRUNCATE) ? SQLITE_IOERR_TRUNCATE
                                 : real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int file_sync(sqlite3_file *file, int flags)
{
    const struct timespec pause = {.tv_nsec = (long)atomic_load(&sync_ms) * 1000000};

    nanosleep(&pause, NULL);
    atomic_fetch_add(&syncs, 1);
    return fails(FAULT_SYNC) ? code_of(SQLITE_IOERR_FSYNC)
                             : real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int file_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int file_lock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xLock(real_of(file), level);
}

static int file_unlock(sqlite3_file *file, int level)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), level);
}

static int file_check_reserved(sqlite3_file *file, int *out)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), out);
}

static int file_control(sqlite3_file *file, int operation, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, arg);
}

static int file_sector_size(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int file_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int file_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **out)
{
    return fails(FAULT_SHM)
               ? code_of(SQLITE_IOERR_SHMMAP)
               : real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, out);
}

static int file_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int file_shm_unmap(sqlite3_file *file, int delete_it)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete_it);
}

static const sqlite3_io_methods METHODS = {
    .iVersion = 2, /* without xFetch: every read is seen */
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                    int *flags_out)
{
    struct fault_file *fault_file = (struct fault_file *)(void *)file;
    int code;

    (void)vfs;
    *fault_file = (struct fault_file){.real = (sqlite3_file *)(void *)(fault_file + 1)};
    if (fails(FAULT_OPEN)) {
        return SQLITE_CANTOPEN;
    }
    code = real_vfs->xOpen(real_vfs, name, fault_file->real, flags, flags_out);
    if (fault_file->real->pMethods != NULL) {
        fault_file->base.pMethods = &METHODS;
    }
    return code;
}

static sqlite3_vfs fault_vfs;

void fault_vfs_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    fault_vfs =
        *real_vfs; /* what isn't about files is the real one's, which is given its own self below */
    fault_vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    fault_vfs.zName = "fault";
    fault_vfs.pNext = NULL;
    fault_vfs.xOpen = vfs_open;
    assert(sqlite3_vfs_register(&fault_vfs, 1) == SQLITE_OK);
}

void fault_vfs_remove(void)
{
    sqlite3_vfs_unregister(&fault_vfs);
}

void fault_vfs_arm(const struct fault_plan *plan)
{
    armed = *plan;
    seen = 0;
    fired = false;
}

bool fault_vfs_disarm(void)
{
    armed = (struct fault_plan){0};
    return fired;
}

unsigned fault_vfs_syncs(void)
{
    return atomic_load(&syncs);
}

void fault_vfs_slow_sync(unsigned ms)
{
    assert(ms < 1000);
    atomic_store(&sync_ms, ms);
}
