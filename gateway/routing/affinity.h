// The head of a conversation, by which its turns find the machine whose prefix cache knows them.
#pragma once
#include <cstdint>
#include <string_view>

namespace trib::routing {

std::uint64_t text_hash(std::string_view text, std::uint64_t seed = 0);

// A hash of the request body up to the end of the first user message, or of its first 1,024 bytes where
// there is none in them, and of the tenant: what all turns of one conversation share. Never 0. The body
// is strict JSON already; it is scanned, not parsed, and a strange one only costs affinity.
std::uint64_t conversation_head(std::string_view body, std::string_view tenant);

}  // namespace trib::routing
