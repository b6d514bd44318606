// Socket options of listeners and sessions, and the sockets that are opened with them.
//
// Thread safety: pure functions of a descriptor.
#pragma once

#include "absl/status/statusor.h"
#include "dataplane/base/address.h"
#include "dataplane/base/unique_fd.h"
#include "dataplane/net/listener_settings.h"

namespace sidelb {

// Binds `count` sockets to one address, none of which listens yet (a UDP socket receives from here
// on). The first is bound without SO_REUSEPORT, so that it fails against any other holder of the
// address; the others then share it. `bound` gets the address with the port that the kernel chose.
// An IPv6 wildcard takes IPv4 too. Errors: as ErrnoToStatus.
absl::StatusOr<std::vector<UniqueFd>> BindSockets(const Address& address, Transport transport,
                                                  size_t count, Address* bound);

// Options that accepted sockets inherit: TCP_NODELAY, keepalive, TCP_USER_TIMEOUT.
void SetDownstreamOptions(int listening_fd, const ListenerSettings& settings);

// Opens a non-blocking socket for `address` with TCP_NODELAY and begins to connect. Returns 0 when
// the connect is under way or done, else errno.
int OpenUpstream(const Address& address, UniqueFd* fd);

// Opens a non-blocking UDP socket that is connected to `address`. Returns 0 or errno; EAGAIN and
// EADDRNOTAVAIL say that no local port is free.
int OpenUdpUpstream(const Address& address, UniqueFd* fd);

// Lets a UDP socket receive what the kernel has put together as one train; without it, and where
// the kernel has no UDP_GRO, each datagram comes alone.
void SetUdpGro(int fd);

// Keepalive and TCP_USER_TIMEOUT of an upstream socket; set late, because most sessions are short.
void SetUpstreamOptions(int fd, const ListenerSettings& settings);

// The pending error of a socket (an errno, or 0); reading it clears it.
int TakeSocketError(int fd);

// Closes with RST instead of FIN.
void CloseWithReset(UniqueFd* fd);

}  // namespace sidelb
