/*
 * A library between a process and its files, for LD_PRELOAD: it counts the calls that touch files below one folder, says in
 * shared memory how far a save has come, and lets calls fail or write less than they were asked to.
 *
 * TORO_SHIM_FOLDER is the folder, TORO_SHIM_PAGE a file of 64 KiB that both sides map or read. Its words (int64):
 *   0 which call fails, counted from 1; 0 none      1 calls so far
 *   2 errno of the failure; 0 writes half instead   3 whether those after it fail too
 *   4 failures so far                               5 bits of the kinds that may fail
 *   6 between the first write of a save and its end 7 saves ended by a sync of the folder
 *   8 length of the log                             9 calls since the first write of a save
 *   16… the log: kinds of calls in their order
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { OPEN = 1, WRITE, SYNC, RENAME, CLOSE, SYNC_FOLDER, UNLINK, TRUNCATE, READ, LOCK };
enum { FAIL_AT, CALLS, ERRNO, GO_ON, FAILED, KINDS, INSIDE, SAVES, LOGGED, STEPS, LOG = 16 };
#define PAGE_BYTES 65536
#define LOG_MOST (PAGE_BYTES / 8 - LOG)
#define FDS 65536

static int64_t *page;
static char folder[PATH_MAX];
/* Of each descriptor: 0 elsewhere, 1 a file below the folder, 2 a folder. */
static unsigned char watched[FDS];

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void) {
  const char *at = getenv("TORO_SHIM_FOLDER"), *file = getenv("TORO_SHIM_PAGE");
  if (at == NULL || file == NULL || realpath(at, folder) == NULL) return;
  int fd = REAL(open)(file, O_RDWR);
  if (fd < 0) return;
  void *map = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  REAL(close)(fd);
  if (map != MAP_FAILED) page = map;
}

static int is_below(int dirfd, const char *path) {
  char whole[PATH_MAX];
  if (page == NULL || path == NULL) return 0;
  if (path[0] != '/') {
    /* Relative to the working folder only: that is how scripts name files. */
    if (dirfd != AT_FDCWD || getcwd(whole, sizeof whole) == NULL) return 0;
    size_t n = strlen(whole);
    if (n + strlen(path) + 2 > sizeof whole) return 0;
    whole[n] = '/';
    strcpy(whole + n + 1, path);
    path = whole;
  }
  size_t n = strlen(folder);
  return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int kind_of(int fd) { return page != NULL && fd >= 0 && fd < FDS ? watched[fd] : 0; }

/* Counts a call. 0: go on; 1: fail, errno is set; 2: write half. */
static int count(enum kind kind) {
  if (page == NULL) return 0;
  int64_t number = __atomic_add_fetch(&page[CALLS], 1, __ATOMIC_SEQ_CST);
  int64_t place = __atomic_fetch_add(&page[LOGGED], 1, __ATOMIC_SEQ_CST);
  if (place < LOG_MOST) page[LOG + place] = kind;
  if (kind == WRITE && !page[INSIDE]) {
    page[STEPS] = 0;
    page[INSIDE] = 1;
  }
  page[STEPS]++;
  int64_t at = page[FAIL_AT];
  if (at == 0 || number < at || (number > at && !page[GO_ON])) return 0;
  if (!(page[KINDS] >> kind & 1)) return 0;
  __atomic_add_fetch(&page[FAILED], 1, __ATOMIC_SEQ_CST);
  if (page[ERRNO] == 0) return kind == WRITE ? 2 : 0;
  errno = (int)page[ERRNO];
  return 1;
}

static int opened(int fd, int flags) {
  struct stat facts;
  if (fd >= 0 && fd < FDS) {
    int is_folder = flags & O_DIRECTORY || (fstat(fd, &facts) == 0 && S_ISDIR(facts.st_mode));
    watched[fd] = is_folder ? 2 : 1;
  }
  return fd;
}

static int open_through(int (*real)(int, const char *, int, ...), int dirfd, const char *path, int flags, mode_t mode) {
  if (!is_below(dirfd, path)) {
    int fd = real(dirfd, path, flags, mode);
    if (page != NULL && fd >= 0 && fd < FDS) watched[fd] = 0;
    return fd;
  }
  if (count(OPEN) == 1) return -1;
  return opened(real(dirfd, path, flags, mode), flags);
}

#define MODE                                                                                       \
  mode_t mode = 0;                                                                                 \
  if (flags & (O_CREAT | O_TMPFILE)) {                                                             \
    va_list rest;                                                                                  \
    va_start(rest, flags);                                                                         \
    mode = va_arg(rest, mode_t);                                                                   \
    va_end(rest);                                                                                  \
  }

int open(const char *path, int flags, ...) { MODE return open_through(REAL(openat), AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return open_through(REAL(openat64), AT_FDCWD, path, flags, mode); }
int openat(int at, const char *path, int flags, ...) { MODE return open_through(REAL(openat), at, path, flags, mode); }
int openat64(int at, const char *path, int flags, ...) { MODE return open_through(REAL(openat64), at, path, flags, mode); }

#define WRITES(name, arguments, call, half)                                                        \
  ssize_t name arguments {                                                                         \
    if (kind_of(fd) != 1) return REAL(name) call;                                                  \
    int what = count(WRITE);                                                                       \
    if (what == 1) return -1;                                                                      \
    if (what == 2) { half; }                                                                       \
    return REAL(name) call;                                                                        \
  }

WRITES(write, (int fd, const void *data, size_t n), (fd, data, n), n = (n + 1) / 2)
WRITES(pwrite, (int fd, const void *data, size_t n, off_t at), (fd, data, n, at), n = (n + 1) / 2)
WRITES(pwrite64, (int fd, const void *data, size_t n, off64_t at), (fd, data, n, at), n = (n + 1) / 2)
WRITES(writev, (int fd, const struct iovec *v, int n), (fd, v, n), n = (n + 1) / 2)
WRITES(pwritev, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at), n = (n + 1) / 2)
WRITES(pwritev64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at), n = (n + 1) / 2)

#define READS(name, arguments, call)                                                               \
  ssize_t name arguments {                                                                         \
    if (kind_of(fd) == 1 && count(READ) == 1) return -1;                                           \
    return REAL(name) call;                                                                        \
  }

READS(read, (int fd, void *data, size_t n), (fd, data, n))
READS(pread, (int fd, void *data, size_t n, off_t at), (fd, data, n, at))
READS(pread64, (int fd, void *data, size_t n, off64_t at), (fd, data, n, at))
READS(readv, (int fd, const struct iovec *v, int n), (fd, v, n))
READS(preadv, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
READS(preadv64, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))

static int sync_through(int (*real)(int), int fd) {
  int kind = kind_of(fd);
  if (kind == 0) return real(fd);
  if (count(kind == 2 ? SYNC_FOLDER : SYNC) == 1) return -1;
  int result = real(fd);
  if (kind == 2) {
    page[INSIDE] = 0;
    page[SAVES]++;
  }
  return result;
}

int fsync(int fd) { return sync_through(REAL(fsync), fd); }
int fdatasync(int fd) { return sync_through(REAL(fdatasync), fd); }

int close(int fd) {
  int kind = kind_of(fd);
  if (kind == 0) return REAL(close)(fd);
  watched[fd] = 0;
  int fails = count(CLOSE) == 1, error = errno;
  int result = REAL(close)(fd);
  if (!fails) return result;
  errno = error;
  return -1;
}

#define PATHS(name, kind, arguments, call, below)                                                  \
  int name arguments {                                                                             \
    if (below && count(kind) == 1) return -1;                                                      \
    return REAL(name) call;                                                                        \
  }

PATHS(rename, RENAME, (const char *from, const char *to), (from, to), is_below(AT_FDCWD, to))
PATHS(renameat, RENAME, (int a, const char *from, int b, const char *to), (a, from, b, to), is_below(b, to))
PATHS(renameat2, RENAME, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags), is_below(b, to))
PATHS(unlink, UNLINK, (const char *path), (path), is_below(AT_FDCWD, path))
PATHS(unlinkat, UNLINK, (int at, const char *path, int flags), (at, path, flags), is_below(at, path))
PATHS(ftruncate, TRUNCATE, (int fd, off_t n), (fd, n), kind_of(fd))
PATHS(ftruncate64, TRUNCATE, (int fd, off64_t n), (fd, n), kind_of(fd))
PATHS(fallocate, TRUNCATE, (int fd, int mode, off_t at, off_t n), (fd, mode, at, n), kind_of(fd))
PATHS(fallocate64, TRUNCATE, (int fd, int mode, off64_t at, off64_t n), (fd, mode, at, n), kind_of(fd))
PATHS(flock, LOCK, (int fd, int how), (fd, how), kind_of(fd))
