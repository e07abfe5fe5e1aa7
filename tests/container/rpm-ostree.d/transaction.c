/* Runs one librpm transaction, as libdnf does for rpm-ostree: packages to install and packages to erase together, which
 * rpm(8) cannot do. Prints the lines that rpm-ostree prints, with libdnf's package IDs.
 *
 *   transaction [--erase NAME]... [FILE.rpm]...
 *
 * librpm is opened at run time, because each base image has another version of it. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void *ptr;
enum { TAG_NAME = 1000, TAG_ARCH = 1022, FILTER_OLDPACKAGE = 1 << 6 };
enum { INST_START = 1 << 1, INST_OPEN_FILE = 1 << 2, INST_CLOSE_FILE = 1 << 3, UNINST_START = 1 << 8 };

static ptr library;

static ptr function(const char *name)
{
    ptr found = dlsym(library, name);
    if (!found) {
        fprintf(stderr, "transaction: %s\n", dlerror());
        exit(125);
    }
    return found;
}
#define CALL(result, name, types) ((result(*) types)function(#name))

static char **erased;
static int erased_count;
static ptr ts;

static const char *text(ptr header, int tag) { return CALL(const char *, headerGetString, (ptr, int))(header, tag); }

static ptr installed(const char *name)
{
    ptr match = CALL(ptr, rpmtsInitIterator, (ptr, int, const void *, size_t))(ts, TAG_NAME, name, 0);
    ptr header = match ? CALL(ptr, rpmdbNextIterator, (ptr))(match) : NULL;
    if (header)
        CALL(ptr, headerLink, (ptr))(header);
    CALL(ptr, rpmdbFreeIterator, (ptr))(match);
    return header;
}

/* Prints an action and the package ID that libdnf makes of a header: NAME;EVR;ARCH;REPOSITORY. */
static void show(const char *action, ptr header, const char *repository)
{
    char *evr = CALL(char *, headerGetAsString, (ptr, int))(header, 5013 /* EVR */);
    printf("%s: %s;%s;%s;%s\n", action, text(header, TAG_NAME), evr, text(header, TAG_ARCH), repository);
    fflush(stdout);
    free(evr);
}

static void show_install(ptr header)
{
    ptr old = installed(text(header, TAG_NAME));
    char *evr;
    if (old && CALL(int, rpmVersionCompare, (ptr, ptr))(header, old) < 0)
        show("Downgrading", header, "local");
    else if (old)
        show("Updating", header, "local");
    else {
        evr = CALL(char *, headerGetAsString, (ptr, int))(header, 5013);
        printf("Installing: %s-%s.%s (local)\n", text(header, TAG_NAME), evr, text(header, TAG_ARCH));
        free(evr);
    }
    fflush(stdout);
    if (old)
        CALL(ptr, headerFree, (ptr))(old);
}

static int is_erased(const char *name)
{
    for (int i = 0; i < erased_count; i++)
        if (!strcmp(erased[i], name))
            return 1;
    return 0;
}

static ptr notify(const void *header, int what, unsigned long amount, unsigned long total, const void *key, ptr data)
{
    static ptr file;
    (void)amount, (void)total, (void)data;
    switch (what) {
    case INST_OPEN_FILE:
        return file = CALL(ptr, Fopen, (const char *, const char *))(key, "r.ufdio");
    case INST_CLOSE_FILE:
        if (file)
            CALL(int, Fclose, (ptr))(file);
        file = NULL;
        break;
    case INST_START:
        show_install((ptr)header);
        break;
    case UNINST_START:
        show(is_erased(text((ptr)header, TAG_NAME)) ? "Removing" : "Cleanup", (ptr)header, "installed");
        break;
    }
    return NULL;
}

static void add_install(const char *path)
{
    ptr header = NULL, file = CALL(ptr, Fopen, (const char *, const char *))(path, "r.ufdio");
    if (file)
        CALL(int, rpmReadPackageFile, (ptr, ptr, const char *, ptr *))(ts, file, path, &header);
    if (!header || CALL(int, rpmtsAddInstallElement, (ptr, ptr, const void *, int, ptr))(ts, header, path, 1, NULL)) {
        fprintf(stderr, "error: cannot install %s\n", path);
        exit(1);
    }
    CALL(int, Fclose, (ptr))(file);
    CALL(ptr, headerFree, (ptr))(header);
}

int main(int argc, char **argv)
{
    char name[32];
    ptr problems, header;
    int status;

    for (int version = 12; version > 8 && !library; version--) {
        snprintf(name, sizeof name, "librpm.so.%d", version);
        library = dlopen(name, RTLD_NOW | RTLD_GLOBAL);
    }
    if (!library) {
        fprintf(stderr, "transaction: %s\n", dlerror());
        return 125;
    }
    CALL(int, rpmReadConfigFiles, (const char *, const char *))(NULL, NULL);
    /* The PATH of scriptlets is that of Fedora's rpm. */
    CALL(int, rpmDefineMacro, (ptr, const char *, int))
    (NULL, "_install_script_path /sbin:/bin:/usr/sbin:/usr/bin:/usr/X11R6/bin", 0);
    ts = CALL(ptr, rpmtsCreate, (void))();
    CALL(int, rpmtsSetRootDir, (ptr, const char *))(ts, "/");
    /* rpm-ostree verifies neither signatures nor digests of local packages. */
    CALL(int, rpmtsSetVSFlags, (ptr, int))(ts, 0x7fffff00);
    CALL(int, rpmtsSetVfyLevel, (ptr, int))(ts, 0);
    erased = calloc(argc, sizeof *erased);
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--erase")) {
            add_install(argv[i]);
            continue;
        }
        erased[erased_count++] = argv[++i];
        header = installed(argv[i]);
        if (header && CALL(int, rpmtsAddEraseElement, (ptr, ptr, int))(ts, header, -1))
            return 1;
    }
    CALL(int, rpmtsSetNotifyCallback, (ptr, ptr, ptr))(ts, notify, NULL);
    if (CALL(int, rpmtsOrder, (ptr))(ts))
        return 1;
    status = CALL(int, rpmtsRun, (ptr, ptr, int))(ts, NULL, FILTER_OLDPACKAGE);
    if (status > 0) {
        problems = CALL(ptr, rpmtsProblems, (ptr))(ts);
        CALL(void, rpmpsPrint, (FILE *, ptr))(stderr, problems);
    }
    CALL(ptr, rpmtsFree, (ptr))(ts);
    return status != 0;
}
