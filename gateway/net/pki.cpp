#include "gateway/net/pki.h"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <ctime>

namespace trib::net {
namespace {

template <auto release>
struct Free {
  template <class T>
  void operator()(T* p) const {
    release(p);
  }
};
using BioPtr = std::unique_ptr<BIO, Free<BIO_free>>;
using KeyPtr = std::unique_ptr<EVP_PKEY, Free<EVP_PKEY_free>>;
using CertPtr = std::unique_ptr<X509, Free<X509_free>>;
using RequestPtr = std::unique_ptr<X509_REQ, Free<X509_REQ_free>>;
using DigestPtr = std::unique_ptr<EVP_MD_CTX, Free<EVP_MD_CTX_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, Free<BN_free>>;

BioPtr reader(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

template <class Write>
std::string written(Write write) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  TRIB_ASSERT(bio && write(bio.get()) == 1);
  char* data = nullptr;
  const long bytes = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(bytes)};
}

std::string to_pem(EVP_PKEY* key) {
  return written([&](BIO* b) {
    return PEM_write_bio_PKCS8PrivateKey(b, key, nullptr, nullptr, 0, nullptr, nullptr);
  });
}
std::string to_pem(X509* x) {
  return written([&](BIO* b) { return PEM_write_bio_X509(b, x); });
}

KeyPtr read_key(const std::string& pem) {
  KeyPtr key(PEM_read_bio_PrivateKey(reader(pem).get(), nullptr, nullptr, const_cast<char*>("")));
  ERR_clear_error();
  return key;
}

CertPtr read_certificate(const std::string& pem) {
  CertPtr x(PEM_read_bio_X509(reader(pem).get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return x;
}

std::string der_of(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int bytes = i2d_PUBKEY(key, &der);
  TRIB_ASSERT(bytes > 0);
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(bytes));
  OPENSSL_free(der);
  return out;
}

KeyPtr key_of_der(const std::string& der) {
  const auto* at = reinterpret_cast<const unsigned char*>(der.data());
  return KeyPtr(d2i_PUBKEY(nullptr, &at, static_cast<long>(der.size())));
}

bool is_p256(EVP_PKEY* key) {
  char group[32] = {};
  std::size_t bytes = 0;
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
         EVP_PKEY_get_group_name(key, group, sizeof group, &bytes) == 1 &&
         std::string_view(group, bytes) == "prime256v1";
}

void set_name(X509_NAME* to, std::string_view name) {
  X509_NAME_add_entry_by_txt(to, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.data()),
                             static_cast<int>(std::min<std::size_t>(name.size(), 64)), -1, 0);
}

bool add_extension(X509* x, X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, x, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  if (extension == nullptr) return false;
  const bool ok = X509_add_ext(x, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return ok;
}

// Built value by value: a text form would let a comma in a name add another name.
bool add_alternative_names(X509* x, const CertificateTerms& terms) {
  GENERAL_NAMES* names = sk_GENERAL_NAME_new_null();
  const auto add = [&](int type, const std::string& text) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_OCTET_STRING* address = type == GEN_DNS ? a2i_IPADDRESS(text.c_str()) : nullptr;
    if (address != nullptr) {
      GENERAL_NAME_set0_value(name, GEN_IPADD, address);
    } else {
      ASN1_IA5STRING* value = ASN1_IA5STRING_new();
      ASN1_STRING_set(value, text.data(), static_cast<int>(text.size()));
      GENERAL_NAME_set0_value(name, type, value);
    }
    sk_GENERAL_NAME_push(names, name);
  };
  for (const auto& uri : terms.uris) add(GEN_URI, uri);
  for (const auto& host : terms.hosts) add(GEN_DNS, host);
  ERR_clear_error();
  const bool ok = sk_GENERAL_NAME_num(names) == 0 ||
                  X509_add1_ext_i2d(x, NID_subject_alt_name, names, 0, 0) == 1;
  sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
  return ok;
}

std::string set_serial(X509* x) {
  unsigned char raw[16];
  random_bytes(raw);
  raw[0] =
      static_cast<unsigned char>((raw[0] & 0x7f) | 0x40);  // positive, and always the same length
  const NumberPtr number(BN_bin2bn(raw, sizeof raw, nullptr));
  BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(x));
  return to_hex(std::string_view(reinterpret_cast<const char*>(raw), sizeof raw));
}

void set_life(X509* x, std::int64_t from_ms, std::int64_t until_ms) {
  ASN1_TIME_set(X509_getm_notBefore(x), static_cast<time_t>(from_ms / 1000));
  ASN1_TIME_set(X509_getm_notAfter(x), static_cast<time_t>(until_ms / 1000));
}

}  // namespace

std::string make_key_pem() {
  const KeyPtr key(EVP_EC_gen("P-256"));
  TRIB_ASSERT(key);
  return to_pem(key.get());
}

std::string make_signing_key_pem() {
  const KeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  TRIB_ASSERT(key);
  return to_pem(key.get());
}

std::optional<std::string> sign(const std::string& signing_key_pem, std::string_view message) {
  const KeyPtr key = read_key(signing_key_pem);
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) return std::nullopt;
  const DigestPtr context(EVP_MD_CTX_new());
  std::string out(64, '\0');
  std::size_t bytes = out.size();
  if (EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, key.get()) != 1 ||
      EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(out.data()), &bytes,
                     reinterpret_cast<const unsigned char*>(message.data()), message.size()) != 1) {
    return std::nullopt;
  }
  return out;
}

bool signature_fits(const std::string& signing_key_pem, std::string_view message,
                    std::string_view signature) {
  const KeyPtr key = read_key(signing_key_pem);
  if (!key || EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_ED25519) return false;
  const DigestPtr context(EVP_MD_CTX_new());
  const bool ok =
      EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, key.get()) == 1 &&
      EVP_DigestVerify(context.get(), reinterpret_cast<const unsigned char*>(signature.data()),
                       signature.size(), reinterpret_cast<const unsigned char*>(message.data()),
                       message.size()) == 1;
  ERR_clear_error();
  return ok;
}

std::optional<std::string> make_request_pem(const std::string& key_pem, std::string_view name) {
  const KeyPtr key = read_key(key_pem);
  if (!key) return std::nullopt;
  const RequestPtr request(X509_REQ_new());
  set_name(X509_REQ_get_subject_name(request.get()), name);
  if (X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    return std::nullopt;
  }
  return written([&](BIO* b) { return PEM_write_bio_X509_REQ(b, request.get()); });
}

std::optional<ReadRequest> read_request(const std::string& request_pem, std::string& why) {
  const RequestPtr request(
      PEM_read_bio_X509_REQ(reader(request_pem).get(), nullptr, nullptr, nullptr));
  EVP_PKEY* key = request ? X509_REQ_get0_pubkey(request.get()) : nullptr;
  std::optional<ReadRequest> out;
  if (key == nullptr) {
    why = "not a certificate request in PEM form";
  } else if (!is_p256(key)) {
    why = "the key must be ECDSA P-256";
  } else if (X509_REQ_verify(request.get(), key) != 1) {
    why = "the request is not signed by its own key";
  } else {
    out.emplace();
    out->public_key_der = der_of(key);
    out->key = sha256(out->public_key_der);
  }
  ERR_clear_error();
  return out;
}

std::optional<std::string> make_authority_pem(const std::string& key_pem, std::string_view name,
                                              std::int64_t from_ms, std::int64_t until_ms) {
  const KeyPtr key = read_key(key_pem);
  if (!key) return std::nullopt;
  const CertPtr x(X509_new());
  X509_set_version(x.get(), X509_VERSION_3);
  set_serial(x.get());
  set_life(x.get(), from_ms, until_ms);
  set_name(X509_get_subject_name(x.get()), name);
  X509_set_issuer_name(x.get(), X509_get_subject_name(x.get()));
  X509_set_pubkey(x.get(), key.get());
  if (!add_extension(x.get(), x.get(), NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(x.get(), x.get(), NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(x.get(), x.get(), NID_subject_key_identifier, "hash") ||
      X509_sign(x.get(), key.get(), EVP_sha256()) <= 0) {
    return std::nullopt;
  }
  return to_pem(x.get());
}

std::optional<Issued> issue(const std::string& ca_certificate_pem, const std::string& ca_key_pem,
                            const CertificateTerms& terms) {
  const CertPtr ca = read_certificate(ca_certificate_pem);
  const KeyPtr ca_key = read_key(ca_key_pem);
  const KeyPtr key = key_of_der(terms.public_key_der);
  if (!ca || !ca_key || !key) return std::nullopt;
  const CertPtr x(X509_new());
  Issued out;
  X509_set_version(x.get(), X509_VERSION_3);
  out.serial = set_serial(x.get());
  set_life(x.get(), terms.from_ms, terms.until_ms);
  set_name(X509_get_subject_name(x.get()), terms.name);
  X509_set_issuer_name(x.get(), X509_get_subject_name(ca.get()));
  X509_set_pubkey(x.get(), key.get());
  if (!add_extension(x.get(), ca.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(x.get(), ca.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(x.get(), ca.get(), NID_ext_key_usage,
                     terms.for_server ? "serverAuth" : "clientAuth") ||
      !add_extension(x.get(), ca.get(), NID_subject_key_identifier, "hash") ||
      !add_extension(x.get(), ca.get(), NID_authority_key_identifier, "keyid:always") ||
      !add_alternative_names(x.get(), terms) ||
      X509_sign(x.get(), ca_key.get(), EVP_sha256()) <= 0) {
    return std::nullopt;
  }
  out.certificate_pem = to_pem(x.get());
  return out;
}

std::optional<std::string> public_key_der(const std::string& key_pem) {
  const KeyPtr key = read_key(key_pem);
  if (!key) return std::nullopt;
  return der_of(key.get());
}

std::optional<Sha256> certificate_key(const std::string& certificate_pem) {
  const CertPtr x = read_certificate(certificate_pem);
  EVP_PKEY* key = x ? X509_get0_pubkey(x.get()) : nullptr;
  if (key == nullptr) return std::nullopt;
  return sha256(der_of(key));
}

std::optional<std::int64_t> certificate_until_ms(const std::string& certificate_pem) {
  const CertPtr x = read_certificate(certificate_pem);
  std::tm parts{};
  if (!x || ASN1_TIME_to_tm(X509_get0_notAfter(x.get()), &parts) != 1) return std::nullopt;
  return static_cast<std::int64_t>(::timegm(&parts)) * 1000;
}

}  // namespace trib::net
