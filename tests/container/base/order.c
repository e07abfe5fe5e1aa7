/* Replaces a program in the base image: logs the call to /bed/order.log (if a case has mounted /bed), then executes the
 * original. It is an ELF program, because the tool and the stand-in for rpm-ostree take a script for a wrapper.
 *   depmod, dnf, dnf5, ostree-container: every call;  rpm: the calls that install, erase or import keys. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int rpm_writes(char **a)
{
    int writes = 0;
    for (; *a; a++) {
        if (!strcmp(*a, "--test") || !strncmp(*a, "-q", 2) || !strncmp(*a, "-V", 2) || !strncmp(*a, "-K", 2) ||
            !strcmp(*a, "--query") || !strcmp(*a, "--eval") || !strcmp(*a, "--version"))
            return 0;
        if ((a[0][0] == '-' && strchr("iUFe", a[0][1]) && a[0][1]) || !strcmp(*a, "--install") || !strcmp(*a, "--upgrade") ||
            !strcmp(*a, "--freshen") || !strcmp(*a, "--erase") || !strcmp(*a, "--import"))
            writes = 1;
    }
    return writes;
}

int main(int argc, char **argv)
{
    const char *slash = argc ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argv[0];
    char real[256], line[65536];
    size_t n;
    FILE *log;

    if (!strcmp(name, "depmod"))
        snprintf(real, sizeof real, "/usr/bin/kmod");
    else
        snprintf(real, sizeof real, "/usr/lib/bed/real/%s", name);
    if (strcmp(name, "rpm") || rpm_writes(argv + 1)) {
        n = snprintf(line, sizeof line, "%s", name);
        for (char **a = argv + 1; *a && n < sizeof line - 2; a++)
            n += snprintf(line + n, sizeof line - n, " %s", *a);
        if (!access("/bed", W_OK) && (log = fopen("/bed/order.log", "a"))) {
            fprintf(log, "%s\n", line);
            fclose(log);
        }
    }
    execv(real, argv);
    perror(real);
    return 127;
}
