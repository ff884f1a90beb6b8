// A Vulkan driver in front of another, which DRIVER_BEHIND names, that misbehaves as the environment says:
//
//   DRIVER_SKIP=N    every Nth compute dispatch is not done: with 1 nothing is computed, and what a step still takes is the
//                    host's part
//   DRIVER_LOSE=N    after N submissions every submission and every wait says VK_ERROR_DEVICE_LOST
//   DRIVER_COUNTS=F  the dispatches and submissions so far are in the file F, written at every submission
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*function)(void);
typedef function (*lookup)(void *, const char *);
enum { INITIALIZATION_FAILED = -3, DEVICE_LOST = -4 };

static void *driver;
static unsigned long dispatches, submissions;
static lookup real_device_lookup;
static void (*real_dispatch)(void *, uint32_t, uint32_t, uint32_t);
static void (*real_dispatch_indirect)(void *, uint64_t, uint64_t);
static int32_t (*real_submit)(void *, uint32_t, const void *, uint64_t);
static int32_t (*real_wait_semaphores)(void *, const void *, uint64_t);
static int32_t (*real_wait_fences)(void *, uint32_t, const uint64_t *, uint32_t, uint64_t);

static function in_driver(const char *name) {
    if (!driver) driver = dlopen(getenv("DRIVER_BEHIND"), RTLD_NOW | RTLD_LOCAL);
    return driver ? (function)dlsym(driver, name) : 0;
}

static unsigned long number(const char *variable) {
    const char *text = getenv(variable);
    return text ? strtoul(text, 0, 10) : 0;
}

static int skipped(void) {
    unsigned long every = number("DRIVER_SKIP");
    dispatches++;
    return every && dispatches % every == 0;
}

static int lost(void) {
    unsigned long after = number("DRIVER_LOSE");
    return after && submissions > after;
}

static void dispatch(void *commands, uint32_t x, uint32_t y, uint32_t z) {
    if (!skipped()) real_dispatch(commands, x, y, z);
}

static void dispatch_indirect(void *commands, uint64_t buffer, uint64_t offset) {
    if (!skipped()) real_dispatch_indirect(commands, buffer, offset);
}

static int32_t submit(void *queue, uint32_t n, const void *infos, uint64_t fence) {
    submissions++;
    const char *path = getenv("DRIVER_COUNTS");
    FILE *file = path ? fopen(path, "w") : 0;
    if (file) {
        fprintf(file, "%lu %lu\n", dispatches, submissions);
        fclose(file);
    }
    return lost() ? DEVICE_LOST : real_submit(queue, n, infos, fence);
}

static int32_t wait_semaphores(void *device, const void *info, uint64_t timeout) {
    return lost() ? DEVICE_LOST : real_wait_semaphores(device, info, timeout);
}

static int32_t wait_fences(void *device, uint32_t n, const uint64_t *fences, uint32_t all, uint64_t timeout) {
    return lost() ? DEVICE_LOST : real_wait_fences(device, n, fences, all, timeout);
}

static function device_lookup(void *device, const char *name);

static function wrapped(const char *name, function real) {
    if (!real) return 0;
#define WRAP(vulkan, mine, kept) if (!strcmp(name, vulkan)) { kept = (void *)real; return (function)mine; }
    WRAP("vkGetDeviceProcAddr", device_lookup, real_device_lookup)
    WRAP("vkCmdDispatch", dispatch, real_dispatch)
    WRAP("vkCmdDispatchIndirect", dispatch_indirect, real_dispatch_indirect)
    WRAP("vkQueueSubmit", submit, real_submit)
    WRAP("vkWaitSemaphores", wait_semaphores, real_wait_semaphores)
    WRAP("vkWaitSemaphoresKHR", wait_semaphores, real_wait_semaphores)
    WRAP("vkWaitForFences", wait_fences, real_wait_fences)
    return real;
}

static function device_lookup(void *device, const char *name) {
    return wrapped(name, real_device_lookup(device, name));
}

function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
    lookup real = (lookup)in_driver("vk_icdGetInstanceProcAddr");
    return real ? wrapped(name, real(instance, name)) : 0;
}

function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
    lookup real = (lookup)in_driver("vk_icdGetPhysicalDeviceProcAddr");
    return real ? real(instance, name) : 0;
}

int32_t vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
    int32_t (*real)(uint32_t *) = (void *)in_driver("vk_icdNegotiateLoaderICDInterfaceVersion");
    return real ? real(version) : INITIALIZATION_FAILED;
}
