// The key that signs exports and statements is the one that signs checkpoints: gateway/base/signing.h.
#pragma once
#include "gateway/base/signing.h"

namespace trib::settlement {

using trib::signature_fits;
using trib::SigningKey;

}  // namespace trib::settlement
