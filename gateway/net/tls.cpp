#include "gateway/net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <climits>
#include <cstring>
#include <utility>

namespace trib::net {
namespace {

constexpr std::size_t kept_bytes_max = 16u << 10;  // capacity an idle session may keep

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  if (code == 0) return "unknown";
  const char* text = ERR_reason_error_string(code);
  return text != nullptr ? text : "error " + std::to_string(code);
}

struct BioFree {
  void operator()(BIO* bio) const { BIO_free(bio); }
};
struct X509Free {
  void operator()(X509* x) const { X509_free(x); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using BioPtr = std::unique_ptr<BIO, BioFree>;
using X509Ptr = std::unique_ptr<X509, X509Free>;
using KeyPtr = std::unique_ptr<EVP_PKEY, KeyFree>;

BioPtr pem_bio(const std::string& pem) {
  return BioPtr(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
}

std::vector<X509Ptr> read_certificates(const std::string& pem) {
  std::vector<X509Ptr> out;
  const BioPtr bio = pem_bio(pem);
  while (X509* x = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) out.emplace_back(x);
  ERR_clear_error();  // reading past the last one is an error to OpenSSL
  return out;
}

Sha256 key_digest(X509* x) {
  unsigned char* der = nullptr;
  const int bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
  if (bytes <= 0) return {};
  const Sha256 digest =
      sha256({reinterpret_cast<const char*>(der), static_cast<std::size_t>(bytes)});
  OPENSSL_free(der);
  return digest;
}

// "h2" -> "\2h2": the list form of RFC 7301.
std::string alpn_list(const std::vector<std::string>& names) {
  std::string out;
  for (const auto& name : names) {
    TRIB_ASSERT(!name.empty() && name.size() < 256);
    out += static_cast<char>(name.size());
    out += name;
  }
  return out;
}

bool alpn_has(std::string_view list, std::string_view name) {
  while (!list.empty()) {
    const auto bytes = static_cast<unsigned char>(list.front());
    list.remove_prefix(1);
    if (bytes > list.size()) return false;
    if (list.substr(0, bytes) == name) return true;
    list.remove_prefix(bytes);
  }
  return false;
}

bool valid_site(std::string_view id) {
  if (id.empty() || id.size() > 64) return false;
  for (const char c : id) {
    const bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '.' || c == '_' || c == '-';
    if (!ok) return false;
  }
  return true;
}

// The one URI of the certificate's alternative names, when it is a site's.
std::string site_of(X509* x) {
  constexpr std::string_view prefix = "trib://site/";
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x, NID_subject_alt_name, nullptr, nullptr));
  std::string site;
  int uris = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    ++uris;
    const auto* text = name->d.uniformResourceIdentifier;
    const std::string_view uri(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
                               static_cast<std::size_t>(ASN1_STRING_length(text)));
    if (uri.substr(0, prefix.size()) == prefix) site = uri.substr(prefix.size());
  }
  GENERAL_NAMES_free(names);
  return uris == 1 && valid_site(site) ? site : std::string();
}

std::string serial_of(X509* x) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(x), nullptr);
  std::string raw(static_cast<std::size_t>(BN_num_bytes(number)), '\0');
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(raw.data()));
  BN_free(number);
  return to_hex(raw);
}

}  // namespace

// What OpenSSL calls back into. A session hangs on its BIO; a context on its SSL_CTX.
struct TlsCallbacks {
  static int bio_read(BIO* bio, char* out, std::size_t bytes, std::size_t* got) {
    auto* session = static_cast<TlsSession*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    const std::size_t left = session->in_.size() - session->in_at_;
    if (left == 0) {
      BIO_set_retry_read(bio);
      return 0;
    }
    *got = std::min(bytes, left);
    std::memcpy(out, session->in_.data() + session->in_at_, *got);
    session->in_at_ += *got;
    return 1;
  }

  static int bio_write(BIO* bio, const char* bytes, std::size_t count, std::size_t* put) {
    auto* session = static_cast<TlsSession*>(BIO_get_data(bio));
    BIO_clear_retry_flags(bio);
    session->out_.append(bytes, count);
    *put = count;
    return 1;
  }

  static long bio_ctrl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

  static int bio_create(BIO* bio) {
    BIO_set_init(bio, 1);
    return 1;
  }

  static const BIO_METHOD* bio_method() {
    static const BIO_METHOD* method = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "trib session");
      BIO_meth_set_read_ex(m, bio_read);
      BIO_meth_set_write_ex(m, bio_write);
      BIO_meth_set_ctrl(m, bio_ctrl);
      BIO_meth_set_create(m, bio_create);
      return m;
    }();
    return method;
  }

  // Before anything is chosen: an agent's hello makes this session ask for a certificate, a
  // customer's never does.
  static int client_hello(SSL* ssl, int*, void* arg) {
    const auto* context = static_cast<const TlsContext*>(arg);
    const unsigned char* data = nullptr;
    std::size_t bytes = 0;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
                                  &bytes) != 1 ||
        bytes < 2) {
      return SSL_CLIENT_HELLO_SUCCESS;
    }
    const std::string_view list(reinterpret_cast<const char*>(data) + 2, bytes - 2);
    if (context->agent_store_ == nullptr || !alpn_has(list, agent_alpn))
      return SSL_CLIENT_HELLO_SUCCESS;
    SSL_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
    SSL_set1_verify_cert_store(ssl, context->agent_store_);
    SSL_set_options(ssl, SSL_OP_NO_TICKET);
    SSL_set_num_tickets(ssl, 0);
    return SSL_CLIENT_HELLO_SUCCESS;
  }

  static int alpn_select(SSL*, const unsigned char** out, unsigned char* out_bytes,
                         const unsigned char* in, unsigned int in_bytes, void* arg) {
    const auto* context = static_cast<const TlsContext*>(arg);
    const std::string_view offered(reinterpret_cast<const char*>(in), in_bytes);
    const auto choose = [&](std::string_view name) {
      if (!alpn_has(offered, name)) return false;
      *out = reinterpret_cast<const unsigned char*>(name.data());
      *out_bytes = static_cast<unsigned char>(name.size());
      return true;
    };
    // The agent's name wins always: the certificate was asked for because of it.
    if (context->agent_store_ != nullptr && choose(agent_alpn)) return SSL_TLSEXT_ERR_OK;
    for (const auto& name : context->alpn_) {
      if (choose(name)) return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  }

  // Trusts exactly the sent certificate whose key is pinned, then verifies as usual up to it.
  static int verify_pinned(X509_STORE_CTX* store, void* arg) {
    const auto* context = static_cast<const TlsContext*>(arg);
    STACK_OF(X509)* sent = X509_STORE_CTX_get0_untrusted(store);
    for (int i = 0; i < sk_X509_num(sent); ++i) {
      X509* x = sk_X509_value(sent, i);
      const Sha256 digest = key_digest(x);
      if (!equal_constant_time(digest, *context->pin_)) continue;
      STACK_OF(X509)* trusted = sk_X509_new_null();
      sk_X509_push(trusted, x);
      X509_STORE_CTX_set0_trusted_stack(store, trusted);
      X509_STORE_CTX_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
      const int ok = X509_verify_cert(store);
      sk_X509_free(trusted);
      return ok;
    }
    X509_STORE_CTX_set_error(store, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    return 0;
  }
};

TlsContext::~TlsContext() {
  SSL_CTX_free(ctx_);
  X509_STORE_free(agent_store_);
}

bool TlsContext::load(const std::string& certificate_pem, const std::string& key_pem,
                      std::string& why) {
  const auto chain = read_certificates(certificate_pem);
  if (chain.empty()) {
    why = "no certificate in PEM form";
    return false;
  }
  const BioPtr bio = pem_bio(key_pem);
  // A pass phrase would be asked on a terminal; an empty one refuses instead.
  const KeyPtr key(PEM_read_bio_PrivateKey(bio.get(), nullptr, nullptr, const_cast<char*>("")));
  if (!key) {
    why = "no private key in PEM form, or it needs a pass phrase: " + openssl_reason();
    return false;
  }
  if (SSL_CTX_use_certificate(ctx_, chain.front().get()) != 1 ||
      SSL_CTX_use_PrivateKey(ctx_, key.get()) != 1) {
    why = "the certificate and the key do not fit: " + openssl_reason();
    return false;
  }
  for (std::size_t i = 1; i < chain.size(); ++i) SSL_CTX_add1_chain_cert(ctx_, chain[i].get());
  return true;
}

std::shared_ptr<const TlsContext> TlsContext::server(const TlsServerOptions& options,
                                                     std::string& why) {
  std::shared_ptr<TlsContext> out(new TlsContext);
  out->server_ = true;
  out->ctx_ = SSL_CTX_new(TLS_server_method());
  TRIB_ASSERT(out->ctx_ != nullptr);
  SSL_CTX_set_min_proto_version(out->ctx_, TLS1_3_VERSION);
  SSL_CTX_set_mode(out->ctx_, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(out->ctx_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_session_id_context(out->ctx_, reinterpret_cast<const unsigned char*>("trib"), 4);
  SSL_CTX_set_client_hello_cb(out->ctx_, TlsCallbacks::client_hello, out.get());
  SSL_CTX_set_alpn_select_cb(out->ctx_, TlsCallbacks::alpn_select, out.get());
  if (!out->load(options.certificate_pem, options.key_pem, why)) return nullptr;
  out->alpn_ = options.alpn;
  if (!options.agent_ca_pem.empty()) {
    const auto authorities = read_certificates(options.agent_ca_pem);
    if (authorities.empty()) {
      why = "no CA certificate for agents in PEM form";
      return nullptr;
    }
    out->agent_store_ = X509_STORE_new();
    for (const auto& x : authorities) X509_STORE_add_cert(out->agent_store_, x.get());
  }
  return out;
}

std::shared_ptr<const TlsContext> TlsContext::client(const TlsClientOptions& options,
                                                     std::string& why) {
  std::shared_ptr<TlsContext> out(new TlsContext);
  out->ctx_ = SSL_CTX_new(TLS_client_method());
  TRIB_ASSERT(out->ctx_ != nullptr);
  SSL_CTX_set_min_proto_version(out->ctx_, TLS1_3_VERSION);
  SSL_CTX_set_mode(out->ctx_, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(out->ctx_, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_verify(out->ctx_, SSL_VERIFY_PEER, nullptr);
  out->verify_name_ = options.verify_name;
  out->pin_ = options.pin;
  if (out->pin_) {
    SSL_CTX_set_cert_verify_callback(out->ctx_, TlsCallbacks::verify_pinned, out.get());
  } else if (options.trust_pem.empty()) {
    SSL_CTX_set_default_verify_paths(out->ctx_);
  } else {
    const auto trusted = read_certificates(options.trust_pem);
    if (trusted.empty()) {
      why = "no certificate to trust in PEM form";
      return nullptr;
    }
    X509_STORE* store = SSL_CTX_get_cert_store(out->ctx_);
    for (const auto& x : trusted) X509_STORE_add_cert(store, x.get());
    X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);  // the file may hold the server's own
  }
  if (!options.certificate_pem.empty() && !out->load(options.certificate_pem, options.key_pem, why))
    return nullptr;
  out->alpn_wire_ = alpn_list(options.alpn);
  return out;
}

TlsSession::TlsSession(std::shared_ptr<const TlsContext> context, std::string_view server_name)
    : context_(std::move(context)), ssl_(SSL_new(context_->ctx_)) {
  TRIB_ASSERT(ssl_ != nullptr);
  BIO* bio = BIO_new(TlsCallbacks::bio_method());
  TRIB_ASSERT(bio != nullptr);
  BIO_set_data(bio, this);
  SSL_set_bio(ssl_, bio, bio);
  if (context_->server_) {
    SSL_set_accept_state(ssl_);
    return;
  }
  SSL_set_connect_state(ssl_);
  const std::string name(server_name);
  X509_VERIFY_PARAM* terms = SSL_get0_param(ssl_);
  ASN1_OCTET_STRING* address = name.empty() ? nullptr : a2i_IPADDRESS(name.c_str());
  const bool is_address = address != nullptr;
  ASN1_OCTET_STRING_free(address);
  ERR_clear_error();
  if (context_->verify_name_) {
    // A client that was told no name trusts nobody.
    if (is_address) {
      X509_VERIFY_PARAM_set1_ip_asc(terms, name.c_str());
    } else {
      X509_VERIFY_PARAM_set_hostflags(terms, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
      X509_VERIFY_PARAM_set1_host(terms, name.empty() ? "name.invalid" : name.c_str(), 0);
    }
  }
  if (!is_address && !name.empty()) SSL_set_tlsext_host_name(ssl_, name.c_str());
  if (!context_->alpn_wire_.empty()) {
    SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(context_->alpn_wire_.data()),
                        static_cast<unsigned>(context_->alpn_wire_.size()));
  }
  handshake();
}

TlsSession::~TlsSession() {
  SSL_free(ssl_);
}

void TlsSession::fail(int rc) {
  const int error = SSL_get_error(ssl_, rc);
  if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return;
  if (error == SSL_ERROR_ZERO_RETURN) {
    ended_ = true;
    return;
  }
  const long verified = SSL_get_verify_result(ssl_);
  std::string why = "tls: " + openssl_reason();
  if (!ready_ && verified != X509_V_OK)
    why += std::string(": ") + X509_verify_cert_error_string(verified);
  fault_ = Fault{ready_ ? FaultKind::cut : FaultKind::connect_failed,
                 context_->server_ ? Side::client : Side::site,
                 ready_ ? Retry::never : Retry::elsewhere, std::move(why)};
  early_.clear();
}

void TlsSession::handshake() {
  ERR_clear_error();
  const int rc = SSL_do_handshake(ssl_);
  if (rc != 1) return fail(rc);
  if (context_->server_ && is_agent() && SSL_get0_peer_certificate(ssl_) == nullptr) {
    // Cannot happen while the callbacks agree; the one door where being wrong would let strangers
    // in.
    fault_ = Fault{FaultKind::connect_failed, Side::client, Retry::never,
                   "tls: an agent without a certificate"};
    return;
  }
  ready_ = true;
  if (!early_.empty()) {
    const std::string held = std::move(early_);
    early_.clear();
    const bool closing = std::exchange(closing_, false);  // what was written before the goodbye goes
    write(held);
    closing_ = closing;
  }
  if (closing_) SSL_shutdown(ssl_);
}

void TlsSession::feed(std::string_view ciphertext) {
  if (fault_ || ended_) return;
  in_.append(ciphertext);
}

void TlsSession::feed_end() {
  if (fault_ || ended_) return;
  fault_ =
      Fault{ready_ ? FaultKind::cut : FaultKind::connect_failed,
            context_->server_ ? Side::client : Side::site, ready_ ? Retry::never : Retry::elsewhere,
            "tls: the connection ended without a goodbye"};
}

std::size_t TlsSession::read(std::span<char> out) {
  if (fault_ || ended_ || out.empty()) return 0;
  if (!ready_) handshake();
  if (!ready_) return 0;
  ERR_clear_error();
  std::size_t got = 0;
  const int rc = SSL_read_ex(ssl_, out.data(), out.size(), &got);
  if (rc != 1) {
    got = 0;
    fail(rc);
  }
  if (in_at_ == in_.size()) {
    in_at_ = 0;
    in_.clear();
    if (in_.capacity() > kept_bytes_max) std::string().swap(in_);
  } else if (in_at_ > in_.size() / 2) {
    in_.erase(0, in_at_);
    in_at_ = 0;
  }
  return got;
}

void TlsSession::write(std::string_view plaintext) {
  if (fault_ || closing_ || plaintext.empty()) return;
  if (!ready_) {
    early_.append(plaintext);
    return;
  }
  ERR_clear_error();
  std::size_t put = 0;
  const int rc = SSL_write_ex(ssl_, plaintext.data(), plaintext.size(), &put);
  if (rc != 1) return fail(rc);
  TRIB_ASSERT(put == plaintext.size());  // the BIO takes everything
}

void TlsSession::shutdown() {
  if (fault_ || closing_) return;
  closing_ = true;
  ERR_clear_error();
  if (ready_) SSL_shutdown(ssl_);
}

void TlsSession::take(std::size_t bytes) {
  TRIB_ASSERT(bytes <= out_.size() - out_at_);
  out_at_ += bytes;
  if (out_at_ < out_.size()) return;
  out_at_ = 0;
  out_.clear();
  if (out_.capacity() > kept_bytes_max) std::string().swap(out_);
}

std::string_view TlsSession::alpn() const {
  const unsigned char* data = nullptr;
  unsigned bytes = 0;
  SSL_get0_alpn_selected(ssl_, &data, &bytes);
  return {reinterpret_cast<const char*>(data), bytes};
}

std::optional<TlsPeer> TlsSession::peer() const {
  if (!ready_) return std::nullopt;
  X509* x = SSL_get0_peer_certificate(ssl_);
  if (x == nullptr) return std::nullopt;
  return TlsPeer{site_of(x), serial_of(x), key_digest(x)};
}

}  // namespace trib::net
