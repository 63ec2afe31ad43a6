#include "backends/agent/identity.h"

#include "gateway/base/json.h"
#include "gateway/net/net.h"

namespace trib::agent {
namespace {

// Every text member of the top object that `take` wants.
template <class Take>
bool texts(std::string_view body, Take take) {
  json::Cursor c(body, {16, true});
  if (!c.enter_object()) return false;
  std::string_view key;
  while (c.next_key(key)) {
    std::string* const to = take(key);
    if (to == nullptr) {
      c.skip();
    } else {
      c.read_string(*to);
    }
  }
  return c.finish();
}

}  // namespace

std::string random_id() {
  unsigned char raw[16];
  random_bytes(raw);
  return to_hex(std::string_view(reinterpret_cast<const char*>(raw), sizeof raw));
}

std::optional<Identity> load_identity(Disk& disk, const std::string& dir, std::string& why) {
  Identity out;
  const std::pair<const char*, std::string*> files[] = {
      {"/agent.key", &out.key_pem}, {"/agent.pem", &out.certificate_pem}, {"/ca.pem", &out.ca_pem}};
  for (const auto& [name, to] : files) {
    if (const auto error = read_file(disk, dir + name, *to, 1u << 20)) {
      why = error == std::errc::no_such_file_or_directory
                ? dir + name +
                      " is missing: not enrolled yet; run `tributary agent enrol TOKEN` first"
                : dir + name + ": " + error.message();
      return std::nullopt;
    }
  }
  std::string facts;
  if (const auto error = read_file(disk, dir + "/identity.json", facts, 1u << 16)) {
    why = dir + "/identity.json: " + error.message();
    return std::nullopt;
  }
  const bool ok = texts(facts, [&](std::string_view key) {
    return key == "site" ? &out.site : key == "instance_id" ? &out.instance_id : nullptr;
  });
  if (!ok || out.site.empty() || out.instance_id.empty()) {
    why = dir + "/identity.json is damaged; enrol again";
    return std::nullopt;
  }
  return out;
}

std::string save_identity(Disk& disk, const std::string& dir, const Identity& identity) {
  std::string facts = "{\"site\":";
  json::quote(identity.site, facts);
  facts += ",\"instance_id\":";
  json::quote(identity.instance_id, facts);
  facts += "}\n";
  const std::pair<const char*, const std::string*> files[] = {
      {"/agent.key", &identity.key_pem},
      {"/ca.pem", &identity.ca_pem},
      {"/identity.json", &facts},
      {"/agent.pem", &identity.certificate_pem}};
  if (const auto error = disk.make_dirs(dir)) return dir + ": " + error.message();
  // What stands there belongs to another key: without its certificate it is no identity.
  const auto gone = disk.remove(dir + "/agent.pem");
  if (gone && gone != std::errc::no_such_file_or_directory)
    return dir + "/agent.pem: " + gone.message();
  for (const auto& [name, content] : files) {
    if (const auto error = write_file(disk, dir + name, *content))
      return dir + name + ": " + error.message();
  }
  return {};
}

std::string enrol_body(const std::string& token, const std::string& request_pem,
                       const std::string& instance_id) {
  std::string out = "{\"token\":";
  json::quote(token, out);
  out += ",\"csr_pem\":";
  json::quote(request_pem, out);
  out += ",\"agent_version\":\"" TRIB_VERSION "\",\"instance_id\":";
  json::quote(instance_id, out);
  return out + "}";
}

bool read_enrolled(std::string_view body, Enrolled& out) {
  const bool ok = texts(body, [&](std::string_view key) -> std::string* {
    if (key == "site") return &out.site;
    if (key == "cert_pem") return &out.certificate_pem;
    if (key == "chain_pem") return &out.ca_pem;
    if (key == "check_words") return &out.check_words;
    if (key == "state") return &out.state;
    return nullptr;
  });
  return ok && !out.site.empty() && !out.certificate_pem.empty() && !out.ca_pem.empty();
}

std::string read_refusal(std::string_view body) {
  std::string message;
  json::Cursor c(body, {16, true});
  c.enter_object();
  std::string_view key;
  while (c.next_key(key)) {
    if (key != "error") {
      c.skip();
      continue;
    }
    c.enter_object();
    while (c.next_key(key))
      key == "message" ? static_cast<void>(c.read_string(message)) : static_cast<void>(c.skip());
  }
  return c.finish() ? message : std::string();
}

}  // namespace trib::agent
