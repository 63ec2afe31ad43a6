// A responder that also keeps what it sends, for requests with an Idempotency-Key.
#pragma once
#include <memory>
#include <string>

#include "gateway/api/idempotency.h"
#include "gateway/exchange/exchange.h"

namespace trib::api {

// Owns the exchange that writes through it.
class Recorded final : public net::Operation, private net::Responder {
 public:
  Recorded(IdempotencyTable& table, std::string key, std::uint64_t bytes_max, net::Responder& out)
      : table_(table), key_(std::move(key)), bytes_max_(bytes_max), out_(out) {}
  ~Recorded() override;
  net::Responder& responder() { return *this; }
  void own(std::unique_ptr<exchange::Exchange> inner) { inner_ = std::move(inner); }
  exchange::Exchange& inner() { return *inner_; }

  void on_drained() override { inner_->on_drained(); }
  void on_gone(const Fault& fault) override { inner_->on_gone(fault); }
  void on_drain_expired() override { inner_->on_drain_expired(); }

  // Told by the exchange when FINAL is written.
  void concluded(bool charged, bool whole) {
    charged_ = charged;
    whole_ = whole;
  }

 private:
  void settle();  // tells the table what became of the key; once
  void head(int status, std::string_view fields, std::optional<std::uint64_t> length) override;
  void body(std::span<const std::string_view> pieces, bool last) override;
  void abort() override { out_.abort(); }
  std::size_t unsent_bytes() const override { return out_.unsent_bytes(); }
  std::size_t unacknowledged_bytes() const override { return out_.unacknowledged_bytes(); }

  IdempotencyTable& table_;
  const std::string key_;
  const std::uint64_t bytes_max_;
  net::Responder& out_;
  KeptAnswer answer_;
  bool charged_ = false, whole_ = false, overflow_ = false, sent_whole_ = false, settled_ = false;
  std::unique_ptr<exchange::Exchange> inner_;
};

}  // namespace trib::api
