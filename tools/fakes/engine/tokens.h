// The scripted engine's small doors: /tokenize, /detokenize, /apply-template. Pure.
#pragma once
#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace trib::fake {

// False: not a list of this engine's ids. Appends to `out`.
bool text_of_ids(const boost::json::array& ids, std::string& out);
// The answer to one of the three doors; empty: the request is not one.
std::string tokens_body(std::string_view path, bool vllm, std::int64_t context, std::string_view body);

}  // namespace trib::fake
