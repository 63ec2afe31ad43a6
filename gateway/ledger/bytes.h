// Fixed little-endian layouts for what is hashed and stored. Reading is total: any input is safe.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/base/base.h"
#include "gateway/metering/metering.h"
#include "gateway/money/money.h"

namespace trib::ledger {

class ByteWriter {
 public:
  std::string_view written() const { return {buffer_.data(), size_}; }  // until the next write
  void clear() { size_ = 0; }                                           // its memory is kept

  template <class T>
  void fixed(T value) {
    const auto bits = static_cast<std::uint64_t>(value);
    char* const to = room(sizeof(T));
    for (std::size_t i = 0; i < sizeof(T); ++i) to[i] = static_cast<char>(bits >> (8 * i) & 255);
    size_ += sizeof(T);
  }
  void text(std::string_view value) {
    fixed(static_cast<std::uint32_t>(value.size()));
    raw(value);
  }
  void raw(std::string_view value) {
    value.copy(room(value.size()), value.size());
    size_ += value.size();
  }
  void digest(const Sha256& value) { raw({reinterpret_cast<const char*>(value.data()), value.size()}); }
  void amount(money::Amount value) {
    fixed(value.mu());
    fixed(value.pf());
  }
  // Seven bits a byte, low first.
  void number(std::uint64_t value) {
    char* to = room(number_bytes_max);
    char* const begin = to;
    for (; value >= 128; value >>= 7) *to++ = static_cast<char>((value & 127) | 128);
    *to++ = static_cast<char>(value);
    size_ += static_cast<std::size_t>(to - begin);
  }
  // Small where the value is near zero, or near the base, on either side: 0, -1, 1, -2... are 0, 1, 2, 3...
  void signed_number(std::int64_t value) {
    number(static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63));
  }
  void difference(std::int64_t value, std::int64_t base) {
    signed_number(static_cast<std::int64_t>(static_cast<std::uint64_t>(value) - static_cast<std::uint64_t>(base)));
  }
  void name(std::string_view value) {
    number(value.size());
    raw(value);
  }
  void counts(const metering::TokenCounts& c) {
    for (const auto n : {c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) number(n);
  }

 private:
  static constexpr std::size_t number_bytes_max = 10;
  char* room(std::size_t bytes) {
    if (buffer_.size() - size_ < bytes) buffer_.resize(2 * (buffer_.size() + bytes));
    return buffer_.data() + size_;
  }

  std::string buffer_;  // longer than what is written
  std::size_t size_ = 0;
};

class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}
  bool done() const { return ok_ && in_.empty(); }
  bool ok() const { return ok_; }
  void require(bool holds) { ok_ = ok_ && holds; }

  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (in_.empty()) break;
      const auto byte = static_cast<unsigned char>(in_.front());
      in_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 127) << shift;
      if (byte >= 128) continue;
      if ((byte == 0 && shift > 0) || (shift == 63 && byte > 1)) break;  // not as it is written
      return value;
    }
    ok_ = false;
    return 0;
  }
  template <class T>
  T small() {  // a number that fits T
    const std::uint64_t value = number();
    if (value > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) ok_ = false;
    return static_cast<T>(value);
  }
  std::int64_t signed_number() {
    const std::uint64_t bits = number();
    return static_cast<std::int64_t>(bits >> 1 ^ (~(bits & 1) + 1));
  }
  std::int64_t difference(std::int64_t base) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(base) + static_cast<std::uint64_t>(signed_number()));
  }
  void name(std::string& out) {
    const std::uint64_t size = number();
    require(size <= in_.size());
    if (!ok_) return out.clear();
    out.assign(in_.substr(0, size));
    in_.remove_prefix(size);
  }
  metering::TokenCounts counts() {
    metering::TokenCounts c;
    for (auto* n : {&c.input, &c.cached_input, &c.cache_write, &c.output, &c.reasoning}) *n = number();
    return c;
  }

 private:
  std::string_view in_;
  bool ok_ = true;
};

}  // namespace trib::ledger
