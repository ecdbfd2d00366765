/* The n-th file operation under one folder fails, or is the last one that the process makes.

   Loaded with LD_PRELOAD, so it stands between libc and everything in the process: Python, safetensors, protobuf.
   Counts write, fsync, rename, mkdir and open (for writing) of paths that begin with `under` and contain `part`. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE, FSYNC, RENAME, MKDIR, OPEN, KINDS };

static char under[4096], part[256], failed[4096];
static int armed_kind = -1, armed_errno;
static long armed_at;
static int staying;
static long counts[KINDS];

/* kind < 0: any of them. error 0: SIGKILL instead. stays: every later one fails as well. */
void arm(const char *folder, const char *within, int kind, long at, int error, int stays) {
    strncpy(under, folder, sizeof under - 1);
    strncpy(part, within, sizeof part - 1);
    memset(counts, 0, sizeof counts);
    failed[0] = 0;
    armed_kind = kind; armed_at = at; armed_errno = error; staying = stays;
}

long counted(int kind) { return counts[kind]; }

/* What the operation that failed first was about; empty if none has. */
const char *first_failed(void) { return failed; }

static int fails(int kind, const char *path) {
    if (!under[0] || strncmp(path, under, strlen(under)) || !strstr(path + strlen(under), part)) return 0;
    counts[kind]++;
    long count = 0;
    if (armed_kind >= 0) {
        if (kind != armed_kind) return 0;
        count = counts[kind];
    } else
        for (int i = 0; i < KINDS; i++) count += counts[i];
    if (!armed_at || count < armed_at || (count > armed_at && !staying)) return 0;
    if (!armed_errno) raise(SIGKILL);
    if (!failed[0]) strncpy(failed, path, sizeof failed - 1);
    errno = armed_errno;
    return 1;
}

static int fails_on(int kind, int file) {
    char link[64], path[4096];
    if (!under[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(kind, path);
}

#define REAL(name, ...) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))(__VA_ARGS__)

ssize_t write(int file, const void *data, size_t size) {
    return fails_on(WRITE, file) ? -1 : REAL(write, file, data, size);
}
ssize_t pwrite64(int file, const void *data, size_t size, off64_t at) {
    return fails_on(WRITE, file) ? -1 : REAL(pwrite64, file, data, size, at);
}
ssize_t writev(int file, const struct iovec *parts, int count) {
    return fails_on(WRITE, file) ? -1 : REAL(writev, file, parts, count);
}
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) {
    extern ssize_t sendfile64(int, int, off64_t *, size_t);
    return fails_on(WRITE, to) ? -1 : REAL(sendfile64, to, from, at, size);
}
int ftruncate64(int file, off64_t size) { return fails_on(WRITE, file) ? -1 : REAL(ftruncate64, file, size); }
int fsync(int file) { return fails_on(FSYNC, file) ? -1 : REAL(fsync, file); }
int fdatasync(int file) { return fails_on(FSYNC, file) ? -1 : REAL(fdatasync, file); }
int rename(const char *from, const char *to) { return fails(RENAME, to) ? -1 : REAL(rename, from, to); }
int mkdir(const char *path, mode_t mode) { return fails(MKDIR, path) ? -1 : REAL(mkdir, path, mode); }

static int opened(const char *path, int flags) {
    return (flags & O_ACCMODE) != O_RDONLY && fails(OPEN, path);
}
int open(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest);
    return opened(path, flags) ? -1 : REAL(open, path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    va_list rest; va_start(rest, flags); mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0; va_end(rest);
    return opened(path, flags) ? -1 : REAL(open64, path, flags, mode);
}
