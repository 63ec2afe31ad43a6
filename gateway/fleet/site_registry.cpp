#include "gateway/fleet/site_registry.h"

#include <algorithm>

#include "gateway/base/json.h"

namespace trib::fleet {
namespace {

constexpr SiteState all_states[] = {SiteState::invited, SiteState::probation, SiteState::active, SiteState::suspended,
                                    SiteState::revoked};

void put(std::string& out, std::string_view key, std::string_view value) {
  if (out.back() != '{') out += ',';
  json::quote(key, out);
  out += ':';
  json::quote(value, out);
}

void put(std::string& out, std::string_view key, std::int64_t value) {
  if (out.back() != '{') out += ',';
  json::quote(key, out);
  out += ':' + std::to_string(value);
}

bool state_of(std::string_view text, SiteState& out) {
  for (const auto state : all_states) {
    if (name(state) != text) continue;
    out = state;
    return true;
  }
  return false;
}

// `take(key)` reads the value and returns true; an unknown key is a newer version's and is refused,
// because writing the file again would lose it.
template <class Take>
bool each(json::Cursor& c, Take take) {
  if (!c.enter_object()) return false;
  std::string_view key;
  while (c.next_key(key)) {
    if (!take(key)) return false;
  }
  return c.ok();
}

bool read_record(json::Cursor& c, SiteRecord& out) {
  std::string state;
  return each(c, [&](std::string_view key) {
           if (key == "state") return c.read_string(state);
           if (key == "instance_id") return c.read_string(out.instance_id);
           if (key == "key_sha256") return c.read_string(out.key_sha256);
           if (key == "serial") return c.read_string(out.serial);
           if (key == "until_ms") return c.read_integer(out.until_ms);
           if (key == "check_words") return c.read_string(out.check_words);
           if (key == "agent_version") return c.read_string(out.agent_version);
           if (key == "approved_ms") return c.read_integer(out.approved_ms);
           if (key == "reason") return c.read_string(out.reason);
           return false;
         }) &&
         state_of(state, out.state);
}

bool read_invite(json::Cursor& c, OpenInvite& out) {
  return each(c, [&](std::string_view key) {
    if (key == "site") return c.read_string(out.site);
    if (key == "jti_sha256") return c.read_string(out.jti_sha256);
    if (key == "expires_ms") return c.read_integer(out.expires_ms);
    return false;
  });
}

}  // namespace

std::string_view name(Admission admission) {
  switch (admission) {
    case Admission::admitted: return "admitted";
    case Admission::unknown_site: return "unknown site";
    case Admission::not_enrolled: return "not enrolled";
    case Admission::revoked: return "revoked";
    case Admission::superseded: return "certificate replaced by a later enrolment";
  }
  return "unknown";
}

std::string SiteRegistry::write(const Content& content) {
  std::string out = "{\"version\":1,\"sites\":{";
  for (const auto& [id, site] : content.sites) {
    if (out.back() != '{') out += ',';
    out += "\n  ";
    json::quote(id, out);
    out += ":{";
    put(out, "state", name(site.state));
    put(out, "instance_id", site.instance_id);
    put(out, "key_sha256", site.key_sha256);
    put(out, "serial", site.serial);
    put(out, "until_ms", site.until_ms);
    put(out, "check_words", site.check_words);
    put(out, "agent_version", site.agent_version);
    put(out, "approved_ms", site.approved_ms);
    put(out, "reason", site.reason);
    out += '}';
  }
  out += "},\n\"invites\":[";
  for (const auto& invite : content.invites) {
    if (out.back() != '[') out += ',';
    out += "\n  {";
    put(out, "site", invite.site);
    put(out, "jti_sha256", invite.jti_sha256);
    put(out, "expires_ms", invite.expires_ms);
    out += '}';
  }
  out += "]}\n";
  return out;
}

bool SiteRegistry::read(std::string_view text, Content& out, std::string& why) {
  json::Cursor c(text, {8, true});
  std::int64_t version = 0;
  const bool ok = each(c, [&](std::string_view key) {
    if (key == "version") return c.read_integer(version) && version == 1;
    if (key == "sites") {
      return each(c, [&](std::string_view id) {
        const std::string site(id);
        return read_record(c, out.sites[site]);
      });
    }
    if (key != "invites" || !c.enter_array()) return false;
    while (c.next_element()) {
      if (!read_invite(c, out.invites.emplace_back())) return false;
    }
    return c.ok();
  });
  if (ok && c.finish() && version == 1) return true;
  why = c.error() != nullptr ? c.error() : "unknown content near byte " + std::to_string(c.offset());
  return false;
}

bool SiteRegistry::open(std::string& why) {
  const std::lock_guard lock(mutex_);
  std::string text;
  const auto error = read_file(disk_, path_, text);
  if (error == std::errc::no_such_file_or_directory) return true;
  if (error) {
    why = path_ + ": " + error.message();
    return false;
  }
  Content content;
  if (!read(text, content, why)) {
    why = path_ + ": " + why;
    return false;
  }
  content_ = std::move(content);
  return true;
}

std::map<std::string, SiteState> SiteRegistry::states() const {
  const std::lock_guard lock(mutex_);
  std::map<std::string, SiteState> out;
  for (const auto& [id, site] : content_.sites) out[id] = site.state;
  return out;
}

std::map<std::string, SiteRecord> SiteRegistry::all() const {
  const std::lock_guard lock(mutex_);
  return content_.sites;
}

std::optional<SiteRecord> SiteRegistry::find(const std::string& site) const {
  const std::lock_guard lock(mutex_);
  const auto at = content_.sites.find(site);
  if (at == content_.sites.end()) return std::nullopt;
  return at->second;
}

std::string SiteRegistry::change(Content next) {
  if (const auto error = write_file(disk_, path_, write(next))) return path_ + ": " + error.message();
  content_ = std::move(next);
  return {};
}

std::string SiteRegistry::add_invite(OpenInvite invite, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  Content next = content_;
  std::erase_if(next.invites, [&](const OpenInvite& old) { return old.expires_ms <= now_ms; });
  if (next.invites.size() >= invites_max) return "too many open invites";
  next.sites.try_emplace(invite.site);
  next.invites.push_back(std::move(invite));
  return change(std::move(next));
}

bool SiteRegistry::invite_open(const std::string& jti_sha256, const std::string& site, std::int64_t now_ms) const {
  const std::lock_guard lock(mutex_);
  return std::any_of(content_.invites.begin(), content_.invites.end(), [&](const OpenInvite& invite) {
    return invite.jti_sha256 == jti_sha256 && invite.site == site && invite.expires_ms > now_ms;
  });
}

std::string SiteRegistry::enrol(const std::string& jti_sha256, const std::string& site, SiteRecord fresh,
                                std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  Content next = content_;
  const auto burnt = std::erase_if(next.invites, [&](const OpenInvite& invite) {
    return invite.jti_sha256 == jti_sha256 && invite.site == site && invite.expires_ms > now_ms;
  });
  if (burnt == 0) return "the invite is used, expired or unknown";
  SiteRecord& record = next.sites[site];
  // A new key is a stranger until a person has heard its words; a suspension outlasts it.
  fresh.state = record.state == SiteState::suspended ? SiteState::suspended : SiteState::probation;
  fresh.reason = record.state == SiteState::suspended ? record.reason : std::string();
  record = std::move(fresh);
  return change(std::move(next));
}

std::string SiteRegistry::approve(const std::string& site, std::int64_t now_ms) {
  const std::lock_guard lock(mutex_);
  const auto at = content_.sites.find(site);
  if (at == content_.sites.end() || at->second.state == SiteState::invited) return "the site has not enrolled yet";
  if (at->second.state == SiteState::revoked) return "the site is revoked; invite it again";
  if (at->second.state == SiteState::active) return {};
  Content next = content_;
  SiteRecord& record = next.sites[site];
  record.state = SiteState::active;
  record.approved_ms = now_ms;
  record.reason.clear();
  return change(std::move(next));
}

std::string SiteRegistry::suspend(const std::string& site, std::string reason) {
  const std::lock_guard lock(mutex_);
  const auto at = content_.sites.find(site);
  if (at == content_.sites.end() || at->second.state == SiteState::invited) return "the site has not enrolled yet";
  if (at->second.state == SiteState::revoked) return "the site is revoked";
  Content next = content_;
  next.sites[site].state = SiteState::suspended;
  next.sites[site].reason = std::move(reason);
  return change(std::move(next));
}

std::string SiteRegistry::revoke(const std::string& site, std::string reason) {
  const std::lock_guard lock(mutex_);
  if (!content_.sites.contains(site)) return "the site was never invited";
  Content next = content_;
  std::erase_if(next.invites, [&](const OpenInvite& invite) { return invite.site == site; });
  next.sites[site].state = SiteState::revoked;
  next.sites[site].reason = std::move(reason);
  return change(std::move(next));
}

Admission SiteRegistry::admit(const std::string& site, const std::string& serial) const {
  const std::lock_guard lock(mutex_);
  const auto at = content_.sites.find(site);
  if (at == content_.sites.end()) return Admission::unknown_site;
  if (at->second.state == SiteState::revoked) return Admission::revoked;
  if (at->second.serial.empty()) return Admission::not_enrolled;
  return at->second.serial == serial ? Admission::admitted : Admission::superseded;
}

}  // namespace trib::fleet
