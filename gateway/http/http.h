// HTTP as bytes: heads and the policy on them, chunked coding, server-sent events, and the shape of a
// call to an engine. Sans-I/O throughout.
#pragma once
#include "gateway/http/chunk.h"
#include "gateway/http/head.h"
#include "gateway/http/sse.h"
#include "gateway/http/upstream.h"
