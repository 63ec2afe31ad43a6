#include "gateway/api/idempotency.h"

#include <openssl/evp.h>

namespace trib::api {
namespace {

constexpr std::size_t nonce_bytes = 12;
constexpr std::size_t tag_bytes = 16;

struct Cipher {
  EVP_CIPHER_CTX* ctx = EVP_CIPHER_CTX_new();
  ~Cipher() { EVP_CIPHER_CTX_free(ctx); }
};

unsigned char* bytes(std::string& s) { return reinterpret_cast<unsigned char*>(s.data()); }
const unsigned char* bytes(const std::string& s) { return reinterpret_cast<const unsigned char*>(s.data()); }

}  // namespace

IdempotencyTable::IdempotencyTable(Bounds bounds) : bounds_(bounds) { random_bytes(key_); }

IdempotencyTable::~IdempotencyTable() = default;

IdempotencyTable::Verdict IdempotencyTable::begin(const std::string& key, const Sha256& body, RequestId id,
                                                  std::int64_t wall_ms) {
  const std::lock_guard lock(mutex_);
  expire(wall_ms);
  const auto found = entries_.find(key);
  if (found == entries_.end()) {
    if (entries_.size() >= bounds_.keys) return {Found::full, {}, {}};
    Entry entry;
    entry.id = id;
    entry.body = body;
    entry.wall_ms = wall_ms;
    entry.place = order_.insert(order_.end(), key);
    entries_.emplace(key, std::move(entry));
    return {};
  }
  const Entry& entry = found->second;
  if (entry.body != body) return {Found::other_body, entry.id, {}};
  switch (entry.state) {
    case Entry::State::running:
      return {Found::running, entry.id, {}};
    case Entry::State::gone:
      return {Found::gone, entry.id, {}};
    case Entry::State::kept:
      break;
  }
  auto answer = open(entry.sealed);
  if (!answer) return {Found::gone, entry.id, {}};
  return {Found::replay, entry.id, std::move(answer)};
}

void IdempotencyTable::finish(const std::string& key, KeptAnswer answer) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  Entry& entry = found->second;
  entry.state = Entry::State::gone;
  if (answer.body.size() > bounds_.answer_bytes) return;
  entry.sealed = seal(answer);
  entry.state = Entry::State::kept;
  bytes_ += entry.sealed.size();
  for (auto it = order_.begin(); bytes_ > bounds_.total_bytes && it != order_.end(); ++it) {
    Entry& old = entries_.at(*it);
    if (&old != &entry) drop_answer(old);
  }
}

void IdempotencyTable::lose(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found != entries_.end()) found->second.state = Entry::State::gone;
}

void IdempotencyTable::release(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = entries_.find(key);
  if (found == entries_.end()) return;
  drop_answer(found->second);
  order_.erase(found->second.place);
  entries_.erase(found);
}

void IdempotencyTable::restore(const std::string& key, const Sha256& body, RequestId id, std::int64_t wall_ms) {
  const std::lock_guard lock(mutex_);
  if (entries_.contains(key) || entries_.size() >= bounds_.keys) return;
  Entry entry;
  entry.id = id;
  entry.body = body;
  entry.wall_ms = wall_ms;
  entry.state = Entry::State::gone;
  entry.place = order_.insert(order_.end(), key);
  entries_.emplace(key, std::move(entry));
}

void IdempotencyTable::expire(std::int64_t wall_ms) {
  for (auto it = order_.begin(); it != order_.end();) {
    const auto found = entries_.find(*it);
    Entry& entry = found->second;
    if (entry.wall_ms + bounds_.keep_ms > wall_ms) return;
    if (entry.state == Entry::State::running) {  // few: those that are being answered
      ++it;
      continue;
    }
    drop_answer(entry);
    entries_.erase(found);
    it = order_.erase(it);
  }
}

void IdempotencyTable::drop_answer(Entry& entry) {
  bytes_ -= entry.sealed.size();
  entry.sealed = {};
  if (entry.state == Entry::State::kept) entry.state = Entry::State::gone;
}

std::string IdempotencyTable::seal(const KeptAnswer& answer) const {
  const std::string plain = std::to_string(answer.status) + '\n' + answer.content_type + '\n' + answer.body;
  std::string out(nonce_bytes + plain.size() + tag_bytes, '\0');
  random_bytes({bytes(out), nonce_bytes});
  const Cipher cipher;
  int n = 0;
  bool ok = EVP_EncryptInit_ex(cipher.ctx, EVP_aes_256_gcm(), nullptr, key_, bytes(out)) == 1;
  ok = ok && EVP_EncryptUpdate(cipher.ctx, bytes(out) + nonce_bytes, &n, bytes(plain), static_cast<int>(plain.size())) == 1;
  ok = ok && EVP_EncryptFinal_ex(cipher.ctx, bytes(out) + nonce_bytes + n, &n) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(cipher.ctx, EVP_CTRL_GCM_GET_TAG, tag_bytes, bytes(out) + nonce_bytes + plain.size()) == 1;
  TRIB_ASSERT(ok);
  return out;
}

std::optional<KeptAnswer> IdempotencyTable::open(const std::string& sealed) const {
  if (sealed.size() < nonce_bytes + tag_bytes) return std::nullopt;
  const std::size_t size = sealed.size() - nonce_bytes - tag_bytes;
  std::string plain(size, '\0');
  std::string tag = sealed.substr(nonce_bytes + size);
  const Cipher cipher;
  int n = 0;
  bool ok = EVP_DecryptInit_ex(cipher.ctx, EVP_aes_256_gcm(), nullptr, key_, bytes(sealed)) == 1;
  ok = ok && EVP_DecryptUpdate(cipher.ctx, bytes(plain), &n, bytes(sealed) + nonce_bytes, static_cast<int>(size)) == 1;
  ok = ok && EVP_CIPHER_CTX_ctrl(cipher.ctx, EVP_CTRL_GCM_SET_TAG, tag_bytes, bytes(tag)) == 1;
  ok = ok && EVP_DecryptFinal_ex(cipher.ctx, bytes(plain) + n, &n) == 1;
  if (!ok) return std::nullopt;
  const auto first = plain.find('\n');
  const auto second = plain.find('\n', first + 1);
  return KeptAnswer{std::stoi(plain.substr(0, first)), plain.substr(first + 1, second - first - 1), plain.substr(second + 1)};
}

}  // namespace trib::api
