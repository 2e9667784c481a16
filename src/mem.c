/* Memory that is there, or the process ends. */
#include "mem.h"

#ifdef ONCESINK_JEMALLOC
#include <jemalloc/jemalloc.h>
#else
#include <malloc.h>
#endif
#include <assert.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef ONCESINK_JEMALLOC
/* Read by jemalloc when the process starts. Records are allocated by one thread and freed by
 * another, and a handful of threads share the work: with one arena their pages are used again
 * instead of kept in each. What isn't used for a second goes back. A thread keeps a twelfth of what
 * jemalloc would let it, as most of them have nothing to do most of the time. */
const char *malloc_conf = "narenas:1,dirty_decay_ms:1000,muzzy_decay_ms:0,"
                          "tcache_max:1024,tcache_nslots_small_max:16";
#endif

static void *must(void *block)
{
    if (block == NULL) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return block;
}

void *mem_zero(size_t size)
{
    return must(calloc(1, size > 0 ? size : 1));
}

void *mem_array(size_t count, size_t size)
{
    return must(calloc(count > 0 ? count : 1, size));
}

void *mem_grow(void *block, size_t count, size_t size)
{
    return must(reallocarray(block, count > 0 ? count : 1, size));
}

char *mem_text(const char *text)
{
    return text == NULL ? NULL : must(strdup(text));
}

char *mem_print(const char *format, ...)
{
    char *text = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        text = NULL;
    }
    va_end(args);
    return must(text);
}

void mem_give_back(void)
{
#ifdef ONCESINK_JEMALLOC
    static const char ALL[] = "arena.4096.purge"; /* MALLCTL_ARENAS_ALL */

    static_assert(MALLCTL_ARENAS_ALL == 4096, "the number in the name");
    mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    mallctl(ALL, NULL, NULL, NULL, 0);
#else
    malloc_trim(0);
#endif
}
