#include "backends/agent/receipts.h"

#include <algorithm>
#include <cstdio>

#include "gateway/base/json.h"
#include "gateway/base/json_writer.h"

namespace trib::agent {
namespace {

constexpr std::string_view prefix = "receipts-", suffix = ".log";
constexpr std::size_t frame_bytes = 9;
constexpr std::size_t text_bytes_max = ledger::root_bytes_max;
constexpr std::size_t bare_bytes_max = 200;  // of a head, with what stands before it
constexpr char head_kind = 'H', receipt_kind = 'R', root_kind = 'S';

std::string segment_name(std::uint64_t first) {
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(first));
  return std::string(prefix) + digits + std::string(suffix);
}

bool is_segment(const std::string& name) {
  return name.size() == prefix.size() + 16 + suffix.size() && name.compare(0, prefix.size(), prefix) == 0 &&
         name.compare(prefix.size() + 16, suffix.size(), suffix) == 0;
}

void put(std::uint32_t value, std::string& out) {
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i) & 255);
}

std::uint32_t get(std::string_view bytes) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < 4; ++i) out |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
  return out;
}

std::string frame_of(char kind, std::string_view text) {
  std::string out;
  put(static_cast<std::uint32_t>(text.size()), out);
  put(crc32c(text, crc32c(std::string_view(&kind, 1))), out);
  out += kind;
  out += text;
  return out;
}

// Kind and text of the whole frame that stands there; none: the end, or not one.
std::optional<std::pair<char, std::string_view>> frame_at(std::string_view bytes, std::size_t at) {
  if (at > bytes.size() || bytes.size() - at < frame_bytes) return std::nullopt;
  const std::string_view rest = bytes.substr(at);
  const std::size_t size = get(rest);
  if (size > text_bytes_max || rest.size() - frame_bytes < size) return std::nullopt;
  const std::string_view text = rest.substr(frame_bytes, size);
  if (crc32c(text, crc32c(rest.substr(8, 1))) != get(rest.substr(4))) return std::nullopt;
  return std::pair(rest[8], text);
}

std::string head_text(std::uint64_t number, const Sha256& digest) {
  json::Writer out;
  return out.open('{').integer("number", static_cast<std::int64_t>(number)).text("digest", to_hex(digest)).close('}').take();
}

bool read_head(std::string_view text, std::uint64_t& number, Sha256& digest) {
  json::Cursor cursor(text);
  std::string_view key;
  std::int64_t value = 0;
  std::string digits;
  if (!cursor.enter_object() || !cursor.next_key(key) || key != "number" || !cursor.read_integer(value) || value < 0) return false;
  if (!cursor.next_key(key) || key != "digest" || !cursor.read_string(digits) || cursor.next_key(key) || !cursor.finish()) return false;
  const auto read = ledger::read_digest(digits);
  if (!read) return false;
  number = static_cast<std::uint64_t>(value);
  digest = *read;
  return true;
}

}  // namespace

ReceiptBook::ReceiptBook(Disk& disk, std::string dir, std::string site, ReceiptBounds bounds)
    : disk_(disk), dir_(std::move(dir)), site_(std::move(site)), bounds_(bounds) {
  key_ = SigningKey::open(disk_, path("receipts.key"), why_);
  if (key_) why_ = open();
}

std::string ReceiptBook::open() {
  std::vector<std::string> names;
  if (const auto ec = disk_.list(dir_, names)) return dir_ + ": " + ec.message();
  std::erase_if(names, [](const std::string& name) { return !is_segment(name); });
  // One with a head and nothing else may be left of a begin that failed, after which the one before went on.
  std::vector<std::pair<std::string, std::string>> used;
  std::pair<std::string, std::string> bare;
  std::uint64_t bare_number = 0;
  for (const auto& name : names) {
    std::string text;
    if (const auto ec = read_file(disk_, path(name), text, bounds_.kept_bytes + bounds_.segment_bytes)) return path(name) + ": " + ec.message();
    const auto head = frame_at(text, 0);
    std::uint64_t number = 0;
    Sha256 digest{};
    const bool has_head = head && head->first == head_kind && read_head(head->second, number, digest);
    if (!has_head && text.size() > bare_bytes_max) return path(name) + ", byte 0: not a segment's head";
    if (has_head && text.size() > frame_bytes + head->second.size()) {
      used.emplace_back(name, std::move(text));
    } else if (has_head && (bare.first.empty() || number > bare_number)) {
      if (!bare.first.empty()) (void)disk_.remove(path(bare.first));
      bare = {name, std::move(text)};
      bare_number = number;
    } else {
      (void)disk_.remove(path(name));
    }
  }
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (auto why = read(used[i].first, used[i].second, i + 1 == used.size()); !why.empty()) return why;
  }
  if (!bare.first.empty() && (used.empty() || bare_number > number_)) {
    if (auto why = read(bare.first, bare.second, true); !why.empty()) return why;
  } else if (!bare.first.empty()) {
    (void)disk_.remove(path(bare.first));
  }
  return !segments_.empty() || begin_segment() ? std::string() : error_;
}

// Takes a segment's frames; cuts a torn tail where it is the last.
std::string ReceiptBook::read(const std::string& name, std::string_view text, bool last) {
  segments_.push_back({name, 0, 0});
  std::size_t at = 0;
  while (const auto frame = frame_at(text, at)) {
    if (auto why = take(frame->first, frame->second, at, at == 0); !why.empty()) return path(name) + ", byte " + std::to_string(at) + ": " + why;
    at += frame_bytes + frame->second.size();
  }
  if (at < text.size() && !last) return path(name) + ", byte " + std::to_string(at) + ": a damaged frame before the tail";
  segments_.back().bytes = at;
  bytes_ += at;
  if (!last) return {};
  auto ec = disk_.open(path(name), Disk::Mode::write, file_);
  if (!ec && at < text.size()) ec = file_->truncate(at);
  return ec ? path(name) + ": " + ec.message() : std::string();
}

// One frame that was read; empty, or what is wrong with it.
std::string ReceiptBook::take(char kind, std::string_view text, std::uint64_t offset, bool first) {
  if (first != (kind == head_kind)) return "not the frame that must stand here";
  if (kind == head_kind) {
    std::uint64_t number = 0;
    Sha256 digest{};
    if (!read_head(text, number, digest)) return "not a segment's head";
    if (segments_.size() > 1 && (number != number_ || digest != digest_)) {
      if (number <= number_) return "it does not go on where the segment before ended";
      forget_older();
    }
    number_ = number;
    digest_ = digest;
    return {};
  }
  if (kind == receipt_kind) {
    const auto receipt = ledger::read_receipt(text);
    if (!receipt) return "not a receipt";
    waiting_.push_back(*receipt);
    return {};
  }
  const auto root = kind == root_kind ? ledger::read_receipt_root(text) : std::nullopt;
  if (!root || root->key != key_->public_key()) return "not a root under receipts.key";
  if (root->number != number_ + 1 || root->prev != digest_) return "its root does not follow the one before";
  if (root->receipts.size() > waiting_.size() || !std::equal(root->receipts.begin(), root->receipts.end(), waiting_.begin()))
    return "its root is not over the receipts before it";
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(root->receipts.size()));
  number_ = root->number;
  digest_ = ledger::digest(*root);
  places_.push_back({first_segment_ + segments_.size() - 1, offset + frame_bytes, text.size()});
  segments_.back().last = number_;
  return {};
}

// Segments between the ones before and the last are gone, so all before it was acknowledged: a power cut has
// brought back what was removed first.
void ReceiptBook::forget_older() {
  while (segments_.size() > 1) {
    (void)disk_.remove(path(segments_.front().name));  // else it goes the next time
    bytes_ -= segments_.front().bytes;
    segments_.pop_front();
    ++first_segment_;
  }
  places_.clear();
  waiting_.clear();
}

bool ReceiptBook::begin_segment() {
  Segment next{segment_name(number_ + 1), 0, 0};
  const std::string frame = frame_of(head_kind, head_text(number_, digest_));
  std::unique_ptr<File> file;
  std::error_code ec;
  if (file_) {  // what a failed write left behind its end would be damage once it is not the last
    ec = file_->truncate(segments_.back().bytes);
    if (!ec) ec = file_->sync_data();
  }
  if (!ec) ec = disk_.open(path(next.name), Disk::Mode::create, file);
  if (!ec) ec = file->truncate(0);
  if (!ec) ec = file->write(0, frame);
  if (!ec) ec = file->sync_data();
  if (!ec) ec = disk_.sync_dir(dir_);
  if (ec) {
    if (file) (void)disk_.remove(path(next.name));  // else the next start does it
    return failed(next.name, ec);
  }
  next.bytes = frame.size();
  bytes_ += frame.size();
  segments_.push_back(std::move(next));
  file_ = std::move(file);
  return true;
}

bool ReceiptBook::write(char kind, std::string_view text) {
  const std::string frame = frame_of(kind, text);
  Segment& segment = segments_.back();
  if (const auto ec = file_->write(segment.bytes, frame)) return failed(segment.name, ec);
  segment.bytes += frame.size();
  bytes_ += frame.size();
  return true;
}

// Not for good: the next write goes to the same place.
bool ReceiptBook::failed(const std::string& what, const std::error_code& ec) {
  error_ = path(what) + ": " + ec.message();
  return false;
}

bool ReceiptBook::add(const ledger::Receipt& receipt) {
  const std::string text = ledger::receipt_text(receipt);
  if (!why_.empty()) return false;
  if (full()) {
    error_ = "the receipts that the gateway has not acknowledged reach their bound";
    return false;
  }
  if (text.empty()) error_ = "a figure beyond a receipt's bounds";
  if (text.empty() || !write(receipt_kind, text)) return false;
  waiting_.push_back(receipt);
  return true;
}

bool ReceiptBook::sign(std::int64_t wall_ms) {
  if (!why_.empty()) return false;
  std::vector<Place> fresh;
  const std::uint64_t from = segments_.back().bytes;
  std::size_t done = 0;
  std::uint64_t number = number_;
  Sha256 digest = digest_;
  while (done < waiting_.size()) {
    ledger::ReceiptRoot root;
    root.site = site_;
    root.number = ++number;
    root.made_ms = std::max<std::int64_t>(wall_ms, 0);
    root.prev = digest;
    std::size_t bytes = 0;
    while (done < waiting_.size() && root.receipts.size() < ledger::receipts_per_root_max) {
      bytes += ledger::receipt_text(waiting_[done]).size() + 1;
      if (bytes > text_bytes_max - 1024) break;
      root.receipts.push_back(waiting_[done++]);
    }
    ledger::sign(root, *key_);
    const std::string text = ledger::to_json(root);
    const std::uint64_t offset = segments_.back().bytes + frame_bytes;
    if (!write(root_kind, text)) {
      bytes_ -= segments_.back().bytes - from;
      segments_.back().bytes = from;  // none of them has left: the next turn makes them anew
      return false;
    }
    fresh.push_back({first_segment_ + segments_.size() - 1, offset, text.size()});
    digest = ledger::digest(root);
  }
  if (fresh.empty()) return true;
  if (const auto ec = file_->sync_data()) {  // for good: what the disk holds now is seen by the next start
    why_ = path(segments_.back().name) + ": " + ec.message();
    return false;
  }
  waiting_.clear();
  places_.insert(places_.end(), fresh.begin(), fresh.end());
  number_ = segments_.back().last = number;
  digest_ = digest;
  if (segments_.back().bytes >= bounds_.segment_bytes) begin_segment();  // else it grows until one can begin
  return true;
}

std::string ReceiptBook::root(std::uint64_t number) {
  if (number < oldest() || number > number_) return {};
  const Place& place = places_[number - oldest()];
  std::unique_ptr<File> file;
  std::string out(place.bytes, '\0');
  std::size_t got = 0;
  auto ec = disk_.open(path(segments_[place.segment - first_segment_].name), Disk::Mode::read, file);
  if (!ec) ec = file->read(place.offset, out, got);
  return ec || got != out.size() ? std::string() : out;
}

void ReceiptBook::acknowledged(std::uint64_t upto) {
  upto = std::min(upto, number_);
  while (!places_.empty() && oldest() <= upto) places_.pop_front();
  while (segments_.size() > 1 && segments_.front().last <= upto) {
    if (disk_.remove(path(segments_.front().name))) return;  // it goes the next time
    bytes_ -= segments_.front().bytes;
    segments_.pop_front();
    ++first_segment_;
  }
}

}  // namespace trib::agent
