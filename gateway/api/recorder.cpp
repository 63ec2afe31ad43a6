#include "gateway/api/recorder.h"

#include <utility>

namespace trib::api {

Recorded::~Recorded() {
  inner_.reset();
  settle();
}

void Recorded::settle() {
  if (std::exchange(settled_, true)) return;
  if (!charged_) {
    table_.release(key_);
  } else if (whole_ && sent_whole_ && !overflow_) {
    table_.finish(key_, std::move(answer_));
  } else {
    table_.lose(key_);
  }
}

void Recorded::head(int status, std::string_view fields, std::optional<std::uint64_t> length) {
  answer_.status = status;
  const auto at = fields.find("Content-Type: ");
  if (at != std::string_view::npos) {
    const auto from = at + 14;
    answer_.content_type = fields.substr(from, fields.find('\r', from) - from);
  }
  out_.head(status, fields, length);
}

void Recorded::body(std::span<const std::string_view> pieces, bool last) {
  for (const auto& piece : pieces) {
    if (answer_.body.size() + piece.size() > bytes_max_) {
      overflow_ = true;
      answer_.body.clear();
    }
    if (!overflow_) answer_.body.append(piece);
  }
  sent_whole_ = last;
  if (last) settle();  // the key may come again on the same connection, before this goes
  out_.body(pieces, last);  // may destroy this
}

}  // namespace trib::api
