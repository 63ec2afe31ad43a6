// Chunked transfer coding, RFC 9112 section 7.1: strict reader, and the size line for writers.
// Extensions (at most 256 bytes a line, 8 KiB a body) and trailer fields (4 KiB) are checked and
// dropped. Blanks around a size or within extensions, which senders must not make, are refused.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace trib::http {

class ChunkReader {
 public:
  enum class Status : std::uint8_t { need_more, data, done, bad };
  // Takes from the front of `in` and removes what it took. `data`: a piece of body, a view into the
  // input; call again. `need_more`: all of `in` was taken. `done`: the last chunk and the trailers
  // were read; what is left of `in` is not of this body. `bad` is final; `why` says it.
  Status next(std::string_view& in, std::string_view& data);
  void reset() { *this = ChunkReader{}; }
  const char* why() const { return why_; }

 private:
  enum class At : std::uint8_t {
    size,
    extension_name,
    extension_value,
    extension_token,
    extension_quoted,
    extension_escape,
    extension_end,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    done,
    bad,
  };
  bool step(char c);
  bool size_byte(char c);
  bool extension_byte(char c);
  bool trailer_byte(char c);
  bool refuse(const char* why);

  At at_ = At::size;
  bool name_begun_ = false;  // of the extension being read
  std::uint64_t left_ = 0;
  unsigned digits_ = 0;
  unsigned line_bytes_ = 0;       // of extensions, in one line; bounded
  unsigned extension_bytes_ = 0;  // of extensions, in the whole body; bounded
  unsigned trailer_bytes_ = 0;    // of all trailers; bounded
  const char* why_ = "";
};

// Writes "1a\r\n" into `out` (at least 18 bytes); returns its size. bytes > 0.
std::size_t write_chunk_size(char* out, std::uint64_t bytes);
inline constexpr std::string_view chunk_end = "\r\n";
inline constexpr std::string_view last_chunk = "0\r\n\r\n";

}  // namespace trib::http
