// Response heads: the same verdict however the bytes are cut, and nothing read that the rules
// forbid.
#include "gateway/http/http.h"
#include "tests/fuzz/fuzz.h"

using namespace trib::http;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes = trib::fuzz::text(data + 2, size - 2);
  const bool to_head = (data[0] & 1) != 0;
  const std::size_t step = data[1] % 32 + 1u;
  ResponseHead head;
  HeadRefusal why;
  std::size_t used = 0;
  HeadReader whole;
  const HeadStatus expected = whole.response(bytes, to_head, head, used, why);

  HeadReader reader;
  ResponseHead cut_head;
  std::size_t cut_used = 0;
  HeadStatus status = HeadStatus::need_more;
  for (std::size_t n = 0; status == HeadStatus::need_more && n < bytes.size();) {
    n = bytes.size() - n < step ? bytes.size() : n + step;
    status = reader.response(bytes.substr(0, n), to_head, cut_head, cut_used, why);
  }
  TRIB_ASSERT(status == expected);
  if (status != HeadStatus::ok) return 0;
  TRIB_ASSERT(used == cut_used && used <= bytes.size());
  TRIB_ASSERT(head.status == cut_head.status && head.framing == cut_head.framing);
  TRIB_ASSERT(head.length == cut_head.length && head.fields.size() == cut_head.fields.size());
  TRIB_ASSERT(head.status >= 100 && head.status <= 599);
  TRIB_ASSERT(!to_head || head.framing == Framing::none);
  TRIB_ASSERT(head.framing != Framing::until_close || !head.keep_alive);
  for (const Field& field : head.fields) TRIB_ASSERT(valid_field(field.name, field.value));
  return 0;
}
