// The reading half of a session, as plainly as it can be written: heads and bodies off one
// connection, with nothing but the readers of gateway/http. It says what was served, in the
// canonical form of README.md, and how the connection ended.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "gateway/http/http.h"

namespace trib::corpus {

class Front {
 public:
  void feed(std::string_view bytes);
  const std::vector<std::string>& served() const { return served_; }
  // "open", "wait", "close" or "refuse STATUS".
  std::string end() const;
  const std::string& why() const { return why_; }  // of a refusal

 private:
  bool read_head();
  bool read_body();
  void refuse(int status, const char* why);
  void serve();

  static constexpr std::uint64_t body_bytes_max = 16u << 20;
  std::string buffer_;  // not yet taken
  http::HeadReader reader_;
  http::ChunkReader chunks_;
  bool in_body_ = false;
  http::Framing framing_ = http::Framing::none;
  std::uint64_t left_ = 0;
  bool keep_alive_ = true;
  std::string head_;  // of the request being read, in canonical form
  std::string body_;
  std::vector<std::string> served_;
  std::string end_;  // set when nothing more is read
  std::string why_;
};

}  // namespace trib::corpus
