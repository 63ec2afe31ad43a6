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
  explicit ByteWriter(std::string& out) : out_(out) {}
  template <class T>
  void fixed(T value) {
    char bytes[sizeof(T)];
    auto bits = static_cast<std::uint64_t>(value);
    for (char& b : bytes) {
      b = static_cast<char>(bits & 255);
      bits >>= 8;
    }
    out_.append(bytes, sizeof(T));
  }
  void text(std::string_view value) {
    fixed(static_cast<std::uint32_t>(value.size()));
    out_.append(value);
  }
  void raw(std::string_view value) { out_.append(value); }
  void digest(const Sha256& value) { out_.append(reinterpret_cast<const char*>(value.data()), value.size()); }
  void amount(money::Amount value) {
    fixed(value.mu());
    fixed(value.pf());
  }
  // Seven bits a byte, low first.
  void number(std::uint64_t value) {
    if (value < 128) {
      out_ += static_cast<char>(value);
      return;
    }
    char bytes[10];
    std::size_t size = 0;
    for (; value >= 128; value >>= 7) bytes[size++] = static_cast<char>((value & 127) | 128);
    bytes[size++] = static_cast<char>(value);
    out_.append(bytes, size);
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
    out_.append(value);
  }
  void counts(const metering::TokenCounts& c) {
    for (const auto n : {c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) number(n);
  }

 private:
  std::string& out_;
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
