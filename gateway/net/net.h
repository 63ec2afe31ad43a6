// The Asio shell: workers, sockets, listeners; and the HTTP/1.1 protocol on streams, both ends.
#pragma once
#include "gateway/net/client_session.h"
#include "gateway/net/http_pool.h"
#include "gateway/net/listener.h"
#include "gateway/net/pki.h"
#include "gateway/net/socket.h"
#include "gateway/net/tls.h"
#include "gateway/net/worker.h"
