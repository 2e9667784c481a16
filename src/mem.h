/* Memory that is there, or the process ends: a forced stop at any instruction is an ordinary event
 * (promise 9), so running out of memory needs no path of its own. Any thread. */
#ifndef MEM_H
#define MEM_H

#include <stddef.h>

/* `size` bytes of zeros; size 0 gives a block that may be freed. */
void *mem_zero(size_t size);

/* `count` × `size` bytes of zeros; ends the process on overflow. */
void *mem_array(size_t count, size_t size);

/* Grows `block` to `count` × `size` bytes; what is new isn't cleared. */
void *mem_grow(void *block, size_t count, size_t size);

/* A copy of the text, of the caller's; NULL stays NULL. */
char *mem_text(const char *text);

/* A text made as printf would. */
char *mem_print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* What was freed, but for what other threads keep for themselves, goes back to the system at once;
 * takes about a millisecond. */
void mem_give_back(void);

#endif
