// A Vulkan driver whose compute dispatches do nothing: everything else goes to the driver that NULL_DRIVER names. What a
// step still takes on it is the host's part: encoding, submitting, reading back. Results are zeros.
//
// The dispatches and submissions so far are in the file that NULL_COUNTS names, written at every submission.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef void (*function)(void);
typedef function (*lookup)(void *, const char *);

static void *driver;
static unsigned long dispatches, submissions;
static lookup real_device_lookup;
static int32_t (*real_submit)(void *, uint32_t, const void *, uint64_t);

static function in_driver(const char *name) {
    if (!driver) driver = dlopen(getenv("NULL_DRIVER"), RTLD_NOW | RTLD_LOCAL);
    return driver ? (function)dlsym(driver, name) : 0;
}

static void dispatch(void *commands, uint32_t x, uint32_t y, uint32_t z) {
    (void)commands, (void)x, (void)y, (void)z;
    dispatches++;
}

static void dispatch_indirect(void *commands, uint64_t buffer, uint64_t offset) {
    (void)commands, (void)buffer, (void)offset;
    dispatches++;
}

static int32_t submit(void *queue, uint32_t n, const void *infos, uint64_t fence) {
    submissions++;
    const char *path = getenv("NULL_COUNTS");
    FILE *file = path ? fopen(path, "w") : 0;
    if (file) {
        fprintf(file, "%lu %lu\n", dispatches, submissions);
        fclose(file);
    }
    return real_submit(queue, n, infos, fence);
}

static function device_lookup(void *device, const char *name);

static function wrapped(const char *name, function real) {
    if (!real) return 0;
#define WRAP(vulkan, mine, kept) if (!strcmp(name, vulkan)) { kept = (void *)real; return (function)mine; }
    WRAP("vkGetDeviceProcAddr", device_lookup, real_device_lookup)
    WRAP("vkQueueSubmit", submit, real_submit)
    if (!strcmp(name, "vkCmdDispatch")) return (function)dispatch;
    if (!strcmp(name, "vkCmdDispatchIndirect")) return (function)dispatch_indirect;
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
    return real ? real(version) : -3;
}
