/* The number tables of tests/conformance: lines of fields between blanks; empty lines and lines
 * that begin with # are comments, and where a line ends by CR LF nobody minds. */
#ifndef SUPPORT_TABLE_H
#define SUPPORT_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { TABLE_LINE_BYTES_MAX = 65536, TABLE_FIELDS_MAX = 16 };

struct table {
    FILE *file;
    const char *name;
    size_t line; /* the number of the line taken last */
    char text[TABLE_LINE_BYTES_MAX];
    char *fields[TABLE_FIELDS_MAX]; /* of that line */
    size_t count;
};

/* Fails the test when it isn't there. */
void table_open(struct table *table, const char *name);

/* The next line that isn't a comment; false at the end, when the table is closed again. */
bool table_take(struct table *table);

#endif
