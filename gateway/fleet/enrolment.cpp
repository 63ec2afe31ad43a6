#include "gateway/fleet/enrolment.h"

#include <algorithm>

#include "gateway/base/json.h"
#include "gateway/fleet/words.h"
#include "gateway/net/pki.h"

namespace trib::fleet {
namespace {

constexpr std::int64_t minute_ms = 60'000;
constexpr std::int64_t day_ms = 24 * 60 * minute_ms;
constexpr std::int64_t certificate_life_ms = 30 * day_ms;
constexpr std::int64_t door_life_ms = 397 * day_ms;
constexpr std::int64_t ca_life_ms = 20 * 365 * day_ms;
constexpr std::int64_t invite_life_ms_max = 72 * 60 * minute_ms;
constexpr std::int64_t skew_ms = 10 * minute_ms;  // clocks of partners are wrong by minutes
constexpr int tries_per_minute = 5;
constexpr std::size_t addresses_max = 10'000;
constexpr std::string_view token_head = "trib1.";
constexpr std::size_t token_bytes_max = 4096;

bool valid_id(std::string_view id) {
  return !id.empty() && id.size() <= 64 && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

std::string_view as_text(const Sha256& digest) { return {reinterpret_cast<const char*>(digest.data()), digest.size()}; }

// The file's content, or what `make` gives, written first.
template <class Make>
bool read_or_make(Disk& disk, const std::string& path, std::string& out, Make make, std::string& why) {
  auto error = read_file(disk, path, out, 1u << 20);
  if (!error) return true;
  if (error == std::errc::no_such_file_or_directory) {
    const std::optional<std::string> made = make();
    if (made) {
      out = *made;
      error = write_file(disk, path, out);
      if (!error) return true;
    }
  }
  why = path + ": " + error.message();
  return false;
}

EnrolReply refusal(int status, std::string_view code, std::string_view message) {
  EnrolReply reply;
  reply.status = status;
  reply.json = "{\"error\":{\"message\":";
  json::quote(message, reply.json);
  reply.json += ",\"type\":\"enrolment_error\",\"param\":null,\"code\":";
  json::quote(code, reply.json);
  reply.json += "}}";
  return reply;
}

struct Application {
  std::string token, csr_pem, agent_version, instance_id;
};

const char* read_application(std::string_view body, Application& out) {
  json::Cursor c(body, {16, true});
  if (c.peek() != json::Type::object) return "the body is not a JSON object";
  c.enter_object();
  std::string_view key;
  while (c.next_key(key)) {
    if (key == "token") c.read_string(out.token);
    else if (key == "csr_pem") c.read_string(out.csr_pem);
    else if (key == "agent_version") c.read_string(out.agent_version);
    else if (key == "instance_id") c.read_string(out.instance_id);
    else c.skip();  // site_facts, devices and what newer agents say: claims come with the hello
  }
  if (!c.finish()) return "the body is not strict JSON of texts";
  if (out.token.empty() || out.csr_pem.empty()) return "token and csr_pem are needed";
  if (!valid_id(out.instance_id)) return "instance_id must be 1 to 64 of [A-Za-z0-9._-]";
  if (out.agent_version.size() > 256) return "agent_version is too long";
  return nullptr;
}

}  // namespace

std::optional<TokenContent> read_token(std::string_view token, std::string& why) {
  why = "not an invite token (trib1.PAYLOAD.SIGNATURE)";
  if (token.size() > token_bytes_max || token.substr(0, token_head.size()) != token_head) return std::nullopt;
  token.remove_prefix(token_head.size());
  const auto dot = token.find('.');
  if (dot == std::string_view::npos) return std::nullopt;
  const auto payload = from_base64url(token.substr(0, dot));
  const auto signature = from_base64url(token.substr(dot + 1));
  if (!payload || !signature || signature->size() != 64) return std::nullopt;

  TokenContent out;
  std::int64_t version = 0;
  std::string pin;
  json::Cursor c(*payload, {8, true});
  c.enter_object();
  std::string_view key;
  while (c.next_key(key)) {
    if (key == "v") c.read_integer(version);
    else if (key == "jti") c.read_string(out.jti);
    else if (key == "ca_pin") c.read_string(pin);
    else if (key == "site") c.read_string(out.site);
    else if (key == "kind") c.read_string(out.kind);
    else if (key == "iat") c.read_integer(out.issued_s);
    else if (key == "exp") c.read_integer(out.expires_s);
    else if (key == "hosts") {
      c.enter_array();
      while (c.next_element()) c.read_string(out.hosts.emplace_back());
    } else {
      c.skip();
    }
  }
  if (!c.finish()) return std::nullopt;
  if (version != 1) {
    why = "a token of another version";
    return std::nullopt;
  }
  const auto raw_pin = from_hex(pin);
  if (!raw_pin || raw_pin->size() != out.ca_pin.size() || out.jti.empty() || !valid_id(out.site) || out.hosts.empty() ||
      out.hosts.size() > 4) {
    return std::nullopt;
  }
  std::copy(raw_pin->begin(), raw_pin->end(), reinterpret_cast<char*>(out.ca_pin.data()));
  why.clear();
  return out;
}

std::string check_words(const Sha256& key) {
  // Not the key's hash itself, so that its beginning is not told away with the words.
  const Sha256 digest = sha256("trib check words", as_text(key));
  std::string out;
  for (std::size_t i = 0; i < 4; ++i) {
    if (i > 0) out += ' ';
    out += words[digest[i]];
  }
  return out;
}

std::unique_ptr<Enrolment> Enrolment::open(Disk& disk, const std::string& data_dir, SiteRegistry& registry,
                                           const Clock& clock, std::string& why) {
  std::unique_ptr<Enrolment> out(new Enrolment(registry, clock));
  const std::string dir = data_dir + "/ca";
  if (const auto error = disk.make_dirs(dir)) {
    why = dir + ": " + error.message();
    return nullptr;
  }
  const auto make_ca = [&] {
    return net::make_authority_pem(out->ca_key_, "Tributary sites", clock.wall_ms() - skew_ms, clock.wall_ms() + ca_life_ms);
  };
  if (!read_or_make(disk, dir + "/ca.key", out->ca_key_, [] { return std::optional(net::make_key_pem()); }, why) ||
      !read_or_make(disk, dir + "/ca.pem", out->ca_pem_, make_ca, why) ||
      !read_or_make(disk, dir + "/token.key", out->token_key_, [] { return std::optional(net::make_signing_key_pem()); }, why)) {
    return nullptr;
  }
  const auto pin = net::certificate_key(out->ca_pem_);
  const auto key = net::public_key_der(out->ca_key_);
  if (!pin || !key || sha256(*key) != *pin) {
    why = dir + ": ca.pem and ca.key do not belong together";
    return nullptr;
  }
  if (!net::sign(out->token_key_, "")) {
    why = dir + "/token.key: not an Ed25519 private key";
    return nullptr;
  }
  out->ca_pin_ = *pin;
  return out;
}

std::optional<DoorCertificate> Enrolment::door(const std::vector<std::string>& hosts) const {
  DoorCertificate out;
  out.key_pem = net::make_key_pem();
  net::CertificateTerms terms;
  terms.public_key_der = net::public_key_der(out.key_pem).value_or("");
  terms.name = "Tributary gateway";
  terms.hosts = hosts;
  terms.for_server = true;
  terms.from_ms = clock_.wall_ms() - skew_ms;
  terms.until_ms = clock_.wall_ms() + door_life_ms;
  const auto issued = net::issue(ca_pem_, ca_key_, terms);
  if (!issued) return std::nullopt;
  out.certificate_pem = issued->certificate_pem + ca_pem_;
  return out;
}

Invite Enrolment::invite(const InviteTerms& terms, std::string& why) {
  if (!valid_id(terms.site)) {
    why = "not a site's id";
    return {};
  }
  if (terms.hosts.empty() || terms.hosts.size() > 4) {
    why = "an invite names 1 to 4 hosts";
    return {};
  }
  if (terms.life_ms <= 0 || terms.life_ms > invite_life_ms_max) {
    why = "an invite lives at most 72 hours";
    return {};
  }
  unsigned char raw[16];
  random_bytes(raw);
  const std::string jti = to_base64url({reinterpret_cast<const char*>(raw), sizeof raw});
  const std::int64_t now_ms = clock_.wall_ms();
  std::string payload = "{\"v\":1,\"jti\":\"" + jti + "\",\"hosts\":[";
  for (const auto& host : terms.hosts) {
    if (payload.back() != '[') payload += ',';
    json::quote(host, payload);
  }
  payload += "],\"ca_pin\":\"" + to_hex(ca_pin_) + "\"";
  const auto text = [&](std::string_view key, const std::string& value) {
    payload += ",\"" + std::string(key) + "\":";
    json::quote(value, payload);
  };
  text("partner", terms.partner);
  text("kind", terms.kind);
  text("region", terms.region);
  text("site", terms.site);
  Invite out;
  out.expires_ms = now_ms + terms.life_ms;
  payload += ",\"max_seats\":" + std::to_string(terms.seats_max) + ",\"iat\":" + std::to_string(now_ms / 1000) +
             ",\"exp\":" + std::to_string(out.expires_ms / 1000) + "}";
  const std::string body = std::string(token_head) + to_base64url(payload);
  const auto signature = net::sign(token_key_, body);
  TRIB_ASSERT(signature.has_value());
  why = registry_.add_invite({terms.site, to_hex(sha256(jti)), out.expires_ms}, now_ms);
  if (why.empty()) out.token = body + '.' + to_base64url(*signature);
  return out;
}

bool Enrolment::token_fits(std::string_view token) const {
  const auto dot = token.rfind('.');
  const auto signature = from_base64url(token.substr(dot + 1));
  return signature && net::signature_fits(token_key_, token.substr(0, dot), *signature);
}

bool Enrolment::try_allowed(const std::string& address) {
  const std::int64_t now = clock_.wall_ms();
  const std::lock_guard lock(tries_mutex_);
  const auto over = [&](const Tries& t) { return now - t.since_ms >= minute_ms || now < t.since_ms; };
  if (tries_.size() >= addresses_max) std::erase_if(tries_, [&](const auto& at) { return over(at.second); });
  if (tries_.size() >= addresses_max && !tries_.contains(address)) return false;
  Tries& tries = tries_[address];
  if (over(tries)) tries = {now, 0};
  return ++tries.count <= tries_per_minute;
}

EnrolReply Enrolment::enrol(std::string_view body, const std::string& address) {
  if (!try_allowed(address)) return refusal(429, "too_many_tries", "at most 5 tries a minute; wait a minute");
  Application asked;
  if (const char* why = read_application(body, asked)) return refusal(400, "malformed", why);
  std::string why;
  const auto token = read_token(asked.token, why);
  if (!token) return refusal(400, "malformed_token", why);
  if (!token_fits(asked.token)) return refusal(403, "bad_token", "the token was not signed by this gateway");
  const std::int64_t now_ms = clock_.wall_ms();
  if (token->expires_s * 1000 <= now_ms) return refusal(403, "token_expired", "the invite has expired; ask for a new one");
  const std::string jti = to_hex(sha256(token->jti));
  if (!registry_.invite_open(jti, token->site, now_ms)) {
    return refusal(403, "token_used", "the invite was used or withdrawn; ask for a new one");
  }
  const auto request = net::read_request(asked.csr_pem, why);
  if (!request) return refusal(400, "bad_csr", why);

  net::CertificateTerms terms;
  terms.public_key_der = request->public_key_der;
  terms.name = token->site;
  terms.uris = {"trib://site/" + token->site};
  terms.from_ms = now_ms - skew_ms;
  terms.until_ms = now_ms + certificate_life_ms;
  const auto issued = net::issue(ca_pem_, ca_key_, terms);
  if (!issued) return refusal(500, "internal", "the certificate could not be issued");

  SiteRecord fresh;
  fresh.instance_id = asked.instance_id;
  fresh.agent_version = asked.agent_version;
  fresh.key_sha256 = to_hex(request->key);
  fresh.serial = issued->serial;
  fresh.until_ms = terms.until_ms;
  fresh.check_words = check_words(request->key);
  // Two at once with one token: the registry's lock lets one burn it.
  if (const auto refused = registry_.enrol(jti, token->site, fresh, now_ms); !refused.empty()) {
    return registry_.invite_open(jti, token->site, now_ms) ? refusal(503, "not_durable", "the enrolment could not be stored; try again")
                                                           : refusal(403, "token_used", refused);
  }
  EnrolReply reply;
  reply.status = 201;
  reply.site = token->site;
  reply.check_words = fresh.check_words;
  reply.json = "{\"site\":";
  json::quote(token->site, reply.json);
  reply.json += ",\"cert_pem\":";
  json::quote(issued->certificate_pem, reply.json);
  reply.json += ",\"chain_pem\":";
  json::quote(ca_pem_, reply.json);
  reply.json += ",\"check_words\":";
  json::quote(fresh.check_words, reply.json);
  reply.json += ",\"state\":\"" + std::string(name(registry_.find(token->site)->state)) + "\"}";
  return reply;
}

}  // namespace trib::fleet
