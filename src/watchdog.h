/* Ends the process when a library call hangs (promise 9: that loses nothing). One alarm, armed
 * around calls that can block: SIGALRM's handler writes one line and calls _exit(75). Main
 * thread. */
#ifndef WATCHDOG_H
#define WATCHDOG_H

#include <stdint.h>

/* It bites after timeout_ms and a second more (which is for a process that was stopped meanwhile).
 * `what` must stay valid until watchdog_disarm. Not nested. */
void watchdog_arm(const char *what, int64_t timeout_ms);
void watchdog_disarm(void);

#endif
