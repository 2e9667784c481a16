/* oncesink-simulate: how a command reads, answers and ends. */
#include "simulate.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static bool write_failed(struct err *err)
{
    return err_set(err, ERR_FAILED, errno, "cannot write the answers: %s", strerror(errno));
}

int simulate_end(bool done, struct err *err)
{
    struct err second;

    if (fflush(stdout) != 0 || ferror(stdout)) {
        bool also = write_failed(&second);

        if (done) {
            *err = second;
            done = also;
        }
    }
    if (done) {
        return 0;
    }
    fprintf(stderr, "oncesink-simulate: %s\n", err->text);
    return err_exit_code(err->kind);
}

static error_t parse_nothing(int key, char *text, struct argp_state *state)
{
    if (key == ARGP_KEY_ARG) {
        argp_error(state, "it reads standard input and takes no '%s'", text);
    }
    return key == ARGP_KEY_ARG ? 0 : ARGP_ERR_UNKNOWN;
}

/* Reading may wait: what has been answered leaves before. Answers that can't leave end it. */
static ssize_t read_standard_input(void *arg, char *buffer, size_t size)
{
    int file = STDIN_FILENO;

    (void)arg;
    if (fflush(stdout) != 0) {
        return 0; /* as at the end of the input; simulate_end says what is wrong */
    }
    return lines_read_file(&file, buffer, size);
}

int simulate_filter(int argc, char **argv, const char *doc, simulate_answer answer)
{
    const struct argp argp = {.parser = parse_nothing, .args_doc = "< INPUT", .doc = doc};
    struct lines in;
    struct err err;
    bool done;

    argp_parse(&argp, argc, argv, 0, NULL, NULL);
    lines_init(&in, (struct lines_source){.read = read_standard_input}, NULL);
    done = answer(&in, stdout, &err);
    lines_deinit(&in);
    return simulate_end(done, &err);
}
