#include "support_table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

void table_open(struct table *table, const char *name)
{
    char path[4096];

    /* The tables lie beside this folder. */
    snprintf(path, sizeof(path), "%.*s/../conformance/%s", (int)(strrchr(__FILE__, '/') - __FILE__),
             __FILE__, name);
    table->file = fopen(path, "r");
    table->name = name;
    table->line = 0;
    table->count = 0;
    if (table->file == NULL) {
        fail_msg("can't open %s", path);
    }
}

bool table_take(struct table *table)
{
    while (fgets(table->text, sizeof(table->text), table->file) != NULL) {
        char *rest = table->text;

        table->line++;
        table->count = 0;
        assert_true(strlen(table->text) + 1 < sizeof(table->text));
        for (char *field; (field = strsep(&rest, " \t\r\n")) != NULL;) {
            if (field[0] != '\0') {
                assert_true(table->count < TABLE_FIELDS_MAX);
                table->fields[table->count++] = field;
            }
            if (table->count > 0 && table->fields[0][0] == '#') {
                break;
            }
        }
        if (table->count > 0 && table->fields[0][0] != '#') {
            return true;
        }
    }
    fclose(table->file);
    return false;
}
