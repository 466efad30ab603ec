/* descriptor.h: a second process for tests of shared memory, and file descriptors on their way to it. */
#ifndef DCMI_TEST_DESCRIPTOR_H
#define DCMI_TEST_DESCRIPTOR_H

#include "test.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* As fork(): the parent talks through the first socket, the child through the second. */
static inline pid_t
descriptor_fork(int sockets[2])
{
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t child = fork();
    EXPECT(child >= 0);
    close(sockets[child == 0 ? 0 : 1]);
    return child;
}

/* The child's exit code; -1 when it did not exit by itself. */
static inline int
descriptor_join(pid_t child, const int sockets[2])
{
    int status = -1;
    close(sockets[0]);
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

typedef union descriptor_room {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
} descriptor_room;

static inline bool
descriptor_send(int socket, const void *bytes, size_t count, int descriptor)
{
    descriptor_room room = {.bytes = {0}};
    struct iovec part = {(void *)(uintptr_t)bytes, count};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room.bytes};
    room.header =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&room.header), &descriptor, sizeof descriptor);
    return sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)count;
}

/* `out_descriptor` may lie within `out`: it is written last. */
static inline bool
descriptor_receive(void *out, size_t count, int *out_descriptor, int socket)
{
    descriptor_room room = {.bytes = {0}};
    struct iovec part = {out, count};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof room.bytes};
    if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != (ssize_t)count || message.msg_controllen == 0)
        return false;
    memcpy(out_descriptor, CMSG_DATA(&room.header), sizeof *out_descriptor);
    return true;
}

#endif
