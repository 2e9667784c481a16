/* Runs a fuzz target over a folder of inputs, as a plain test without libFuzzer.
 *
 *     fuzz_NAME FOLDER
 *
 * Every file of the folder goes through LLVMFuzzerTestOneInput once. An empty or missing folder is
 * a failure: a replay of nothing proves nothing. */
#include <dirent.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { PATH_SIZE = 4096, INPUT_BYTES_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t input[INPUT_BYTES_MAX];

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    size_t size;

    if (file == NULL) {
        perror(path);
        return -1;
    }
    size = fread(input, 1, sizeof(input), file);
    if (ferror(file) || !feof(file)) {
        fprintf(stderr, "%s: cannot be read, or over %d bytes\n", path, (int)INPUT_BYTES_MAX);
        (void)fclose(file);
        return -1;
    }
    (void)fclose(file);

    /* A copy of the exact size, so that AddressSanitizer sees a read beyond the end. */
    uint8_t *copy = malloc(size > 0 ? size : 1);
    if (copy == NULL) {
        perror("malloc");
        return -1;
    }
    for (size_t i = 0; i < size; i++) {
        copy[i] = input[i];
    }
    (void)LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned count = 0;
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;

    if (folder == NULL) {
        fprintf(stderr, "usage: %s FOLDER (which must be there)\n", argv[0]);
        return 1;
    }
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[PATH_SIZE];

        if (entry->d_name[0] == '.') {
            continue;
        }
        int length = snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        if (length < 0 || (size_t)length >= sizeof(path) || replay(path) != 0) {
            (void)closedir(folder);
            return 1;
        }
        count++;
    }
    (void)closedir(folder);
    printf("%u inputs replayed\n", count);
    return count > 0 ? 0 : 1;
}
