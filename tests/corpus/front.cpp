#include "tests/corpus/front.h"

#include <algorithm>

namespace trib::corpus {
namespace {

std::string canonical(const http::RequestHead& head) {
  std::string out;
  out.append(head.method).append(" ").append(head.target).append(" HTTP/1.1\r\n");
  if (!head.host.empty()) http::write_field(out, "host", head.host);
  for (const http::Field& field : head.fields) {
    std::string name(field.name);
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    if (name != "host" && name != "content-length") http::write_field(out, name, field.value);
  }
  return out;
}

}  // namespace

void Front::feed(std::string_view bytes) {
  if (!end_.empty()) return;
  buffer_.append(bytes);
  while (end_.empty() && (in_body_ ? read_body() : read_head())) {
  }
}

std::string Front::end() const {
  if (!end_.empty()) return end_;
  return in_body_ || !buffer_.empty() ? "wait" : "open";
}

void Front::refuse(int status, const char* why) {
  end_ = "refuse " + std::to_string(status);
  why_ = why;
}

bool Front::read_head() {
  http::RequestHead head;
  http::HeadRefusal why;
  std::size_t used = 0;
  const http::HeadStatus status = reader_.request(buffer_, head, used, why);
  if (status == http::HeadStatus::need_more) return false;
  if (status == http::HeadStatus::refused) {
    refuse(why.status, why.why);
    return false;
  }
  if (head.length > body_bytes_max) {
    refuse(413, "the body is too large");
    return false;
  }
  head_ = canonical(head);
  framing_ = head.framing;
  left_ = head.length;
  keep_alive_ = head.keep_alive;
  chunks_.reset();
  body_.clear();
  in_body_ = true;
  buffer_.erase(0, used);
  return true;
}

bool Front::read_body() {
  if (framing_ == http::Framing::chunked) {
    std::string_view in = buffer_;
    std::string_view data;
    http::ChunkReader::Status status;
    while ((status = chunks_.next(in, data)) == http::ChunkReader::Status::data) body_.append(data);
    buffer_.erase(0, buffer_.size() - in.size());
    if (status == http::ChunkReader::Status::bad) refuse(400, chunks_.why());
    if (status != http::ChunkReader::Status::done) return false;
  } else {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer_.size()));
    body_.append(buffer_, 0, size);
    buffer_.erase(0, size);
    left_ -= size;
    if (left_ > 0) return false;
  }
  serve();
  return true;
}

void Front::serve() {
  if (framing_ != http::Framing::none) http::write_field(head_, "content-length", body_.size());
  served_.push_back(head_ + "\r\n" + body_);
  in_body_ = false;
  if (!keep_alive_) end_ = "close";
}

}  // namespace trib::corpus
