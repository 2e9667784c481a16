/* A file system that fails: SQLite's own VFS, of which the Nth call of some kinds fails once, or
 * from then on.
 *
 * fault_vfs_install makes it the default, so that the code under test knows nothing of it. Of
 * several threads only one may make calls that fail. */
#ifndef SUPPORT_FAULT_VFS_H
#define SUPPORT_FAULT_VFS_H

#include <stdbool.h>

enum fault_call {
    FAULT_OPEN = 1,
    FAULT_READ = 2,
    FAULT_WRITE = 4,
    FAULT_SYNC = 8,
    FAULT_TRUNCATE = 16,
    FAULT_SHM = 32, /* mapping of the -shm file */
    FAULT_ALL = 63,
};

enum fault_kind {
    FAULT_IO_ERROR,
    FAULT_DISK_FULL,
    FAULT_TORN, /* writes: half of it is written, then an I/O error; other calls: an I/O error */
};

struct fault_plan {
    unsigned calls; /* enum fault_call, or-ed */
    enum fault_kind kind;
    unsigned nth; /* 1 = the first of these calls */
    bool lasting; /* and every later one */
};

void fault_vfs_install(void);
void fault_vfs_remove(void);

void fault_vfs_arm(const struct fault_plan *plan);
/* How many syncs there were since it was installed, and how long each takes from now on. */
unsigned fault_vfs_syncs(void);
void fault_vfs_slow_sync(unsigned ms);

/* No more faults; true when there was one since it was armed. */
bool fault_vfs_disarm(void);

#endif
