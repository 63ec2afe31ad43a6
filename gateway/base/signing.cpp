#include "gateway/base/signing.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <memory>

#include "gateway/base/assert.h"

namespace trib {
namespace {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* p) const { Free(p); }
};
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Context = std::unique_ptr<EVP_MD_CTX, Freed<EVP_MD_CTX_free>>;
using Bio = std::unique_ptr<BIO, Freed<BIO_free>>;

constexpr std::size_t key_bytes = 32;
constexpr std::size_t signature_bytes = 64;

const unsigned char* octets(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }

std::string to_pem(EVP_PKEY* key) {
  const Bio out(BIO_new(BIO_s_mem()));
  TRIB_ASSERT(out && PEM_write_bio_PKCS8PrivateKey(out.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

Key from_pem(const std::string& pem) {
  const Bio in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // No pass phrase: an encrypted key is refused instead of asked for on the terminal.
  return Key(PEM_read_bio_PrivateKey(in.get(), nullptr, [](char*, int, int, void*) { return -1; }, nullptr));
}

}  // namespace

std::optional<SigningKey> SigningKey::open(Disk& disk, const std::string& path, std::string& why) {
  std::string pem;
  Key key;
  if (const auto ec = read_file(disk, path, pem, 64u << 10); !ec) {
    key = from_pem(pem);
  } else if (ec == std::errc::no_such_file_or_directory) {
    key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
    if (key) {
      if (const auto written = write_file(disk, path, to_pem(key.get()))) {
        why = path + ": " + written.message();
        return std::nullopt;
      }
    }
  } else {
    why = path + ": " + ec.message();
    return std::nullopt;
  }
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) {
    why = path + ": not an Ed25519 private key in PEM without a pass phrase";
    return std::nullopt;
  }
  SigningKey out;
  out.private_.resize(key_bytes);
  out.public_.resize(key_bytes);
  std::size_t size = key_bytes;
  TRIB_ASSERT(EVP_PKEY_get_raw_private_key(key.get(), reinterpret_cast<unsigned char*>(out.private_.data()), &size) == 1);
  TRIB_ASSERT(EVP_PKEY_get_raw_public_key(key.get(), reinterpret_cast<unsigned char*>(out.public_.data()), &size) == 1);
  return out;
}

std::string SigningKey::sign(std::string_view message) const {
  const Key key(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, octets(private_), private_.size()));
  const Context context(EVP_MD_CTX_new());
  std::string out(signature_bytes, '\0');
  std::size_t size = out.size();
  TRIB_ASSERT(key && context && EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1);
  TRIB_ASSERT(EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size, octets(message), message.size()) == 1);
  return out;
}

bool signature_fits(std::string_view public_key, std::string_view message, std::string_view signature) {
  if (public_key.size() != key_bytes || signature.size() != signature_bytes) return false;
  const Key key(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, octets(public_key), public_key.size()));
  const Context context(EVP_MD_CTX_new());
  if (!key || !context || EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1) return false;
  return EVP_DigestVerify(context.get(), octets(signature), signature.size(), octets(message), message.size()) == 1;
}

}  // namespace trib
