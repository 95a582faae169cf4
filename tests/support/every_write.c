/* Counts what a process does to files below a folder, and at one of these events kills it or lets the disk be full.
 *
 * Loaded before libc (LD_PRELOAD), so that Python, Rust and C++ are all seen. A write of several bytes is two events,
 * its halves, so that a kill may leave half of it. A full disk stays full: renames and removals still succeed.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF = 0, COUNT = 1, KILL = 2, FULL = 3 };

static int mode = OFF;
static long at = 0, seen = 0;
static char folder[PATH_MAX];
static size_t folder_length = 0;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__) = NULL; \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

void every_write_arm(const char *root, int new_mode, long event) {
    snprintf(folder, sizeof folder, "%s", root);
    folder_length = strlen(folder);
    at = event;
    seen = 0;
    mode = new_mode;
}

long every_write_seen(void) { return seen; }

static int below_path(const char *path) {
    return mode != OFF && path && !strncmp(path, folder, folder_length);
}

static int below_at(int directory, const char *path) {
    char link[64], named[PATH_MAX];
    if (mode == OFF || !path) return 0;
    if (path[0] == '/' || directory == AT_FDCWD) return below_path(path);
    snprintf(link, sizeof link, "/proc/self/fd/%d", directory);
    ssize_t length = readlink(link, named, sizeof named - 1);
    if (length < 0) return 0;
    named[length] = 0;
    return below_path(named);
}

static int below_descriptor(int descriptor) { return below_at(descriptor, ""); }

/* Returns whether the event fails for want of space. */
static int event(int takes_space) {
    pthread_mutex_lock(&lock);
    long number = ++seen;
    pthread_mutex_unlock(&lock);
    if (mode == KILL && number == at) {
        kill(getpid(), SIGKILL);
        pause();
    }
    if (mode == FULL && number >= at && takes_space) {
        errno = ENOSPC;
        return 1;
    }
    return 0;
}

static int makes(int flags, const char *path) {
    struct stat found;
    return (flags & O_CREAT) && stat(path, &found) != 0;
}

/* What stands behind the flags in a call of `open`, where they say that it does. */
#define PERMISSIONS(flags) ({ \
    mode_t found = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        found = va_arg(rest, mode_t); \
        va_end(rest); \
    } \
    found; \
})

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        mode_t permissions = PERMISSIONS(flags); \
        if (below_path(path) && (makes(flags, path) || (flags & O_TRUNC)) && event(1)) return -1; \
        return real(path, flags, permissions); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int directory, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        mode_t permissions = PERMISSIONS(flags); \
        if (below_at(directory, path) && (makes(flags, path) || (flags & O_TRUNC)) && event(1)) return -1; \
        return real(directory, path, flags, permissions); \
    }
OPENAT(openat)
OPENAT(openat64)

ssize_t write(int descriptor, const void *data, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (!below_descriptor(descriptor)) return real(descriptor, data, length);
    if (event(1)) return -1;
    if (length < 2) return real(descriptor, data, length);
    ssize_t first = real(descriptor, data, length / 2);
    if (first < (ssize_t)(length / 2) || event(1)) return first;
    ssize_t second = real(descriptor, (const char *)data + first, length - first);
    return second < 0 ? first : first + second;
}

#define PWRITE(name, offset_type) \
    ssize_t name(int descriptor, const void *data, size_t length, offset_type offset) { \
        REAL(ssize_t, name, int, const void *, size_t, offset_type); \
        if (below_descriptor(descriptor) && event(1)) return -1; \
        return real(descriptor, data, length, offset); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (below_descriptor(descriptor) && event(1)) return -1;
    return real(descriptor, parts, count);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    if (below_descriptor(out) && event(1)) return -1;
    return real(out, in, offset, count);
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count) {
    REAL(ssize_t, sendfile, int, int, off_t *, size_t);
    if (below_descriptor(out) && event(1)) return -1;
    return real(out, in, offset, count);
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t count, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    if (below_descriptor(out) && event(1)) return -1;
    return real(in, in_offset, out, out_offset, count, flags);
}

int rename(const char *old, const char *new) {
    REAL(int, rename, const char *, const char *);
    if (below_path(new) && event(0)) return -1;
    return real(old, new);
}

int renameat(int old_folder, const char *old, int new_folder, const char *new) {
    REAL(int, renameat, int, const char *, int, const char *);
    if (below_at(new_folder, new) && event(0)) return -1;
    return real(old_folder, old, new_folder, new);
}

int renameat2(int old_folder, const char *old, int new_folder, const char *new, unsigned flags) {
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    if (below_at(new_folder, new) && event(0)) return -1;
    return real(old_folder, old, new_folder, new, flags);
}

int link(const char *old, const char *new) {
    REAL(int, link, const char *, const char *);
    if (below_path(new) && event(1)) return -1;
    return real(old, new);
}

int linkat(int old_folder, const char *old, int new_folder, const char *new, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    if (below_at(new_folder, new) && event(1)) return -1;
    return real(old_folder, old, new_folder, new, flags);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (below_path(path) && event(0)) return -1;
    return real(path);
}

int unlinkat(int directory, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    if (below_at(directory, path) && event(0)) return -1;
    return real(directory, path, flags);
}

int mkdir(const char *path, mode_t permissions) {
    REAL(int, mkdir, const char *, mode_t);
    if (below_path(path) && event(1)) return -1;
    return real(path, permissions);
}

int mkdirat(int directory, const char *path, mode_t permissions) {
    REAL(int, mkdirat, int, const char *, mode_t);
    if (below_at(directory, path) && event(1)) return -1;
    return real(directory, path, permissions);
}

int ftruncate64(int descriptor, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    if (below_descriptor(descriptor) && event(1)) return -1;
    return real(descriptor, length);
}

int fsync(int descriptor) {
    REAL(int, fsync, int);
    if (below_descriptor(descriptor) && event(1)) return -1;
    return real(descriptor);
}

int fdatasync(int descriptor) {
    REAL(int, fdatasync, int);
    if (below_descriptor(descriptor) && event(1)) return -1;
    return real(descriptor);
}
