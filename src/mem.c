/* Memory that is there, or the process ends. */
#include "mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
