#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "gateway/config/scalar.h"
#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"gateway.listen", Type::address, "127.0.0.1:8080", "", "",
     "Customers, admin API, `/metrics`, `/healthz`, `/readyz`. Port 0 takes a free one."},
    {"gateway.tls", Type::section, "", "", "",
     "Certificate of `listen`. Needed when `listen` is not loopback, unless `insecure` is true."},
    {"gateway.tls.certificate", Type::path, "required", "", "",
     "PEM chain; relative to this file."},
    {"gateway.tls.key", Type::path, "required", "", "", "PEM key; relative to this file."},
    {"gateway.insecure", Type::flag, "false", "", "",
     "Allows `listen` off loopback without TLS: keys travel in clear."},
    {"gateway.sites", Type::section, "", "", "",
     "Where agents dial in; always TLS from the gateway's own CA."},
    {"gateway.sites.listen", Type::address, "127.0.0.1:8443", "", "", "Port 0 takes a free one."},
    {"gateway.sites.public", Type::texts, "", "1", "16",
     "Addresses by which agents reach it, when not `listen`; they stand in its certificate."},
    {"gateway.data", Type::path, "var", "", "",
     "Folder of journal, ledger, CA and seals; relative to the working directory."},
    {"gateway.journal", Type::section, "", "", "", "The write-ahead journal of usage."},
    {"gateway.journal.sync", Type::duration, "always", "1ms", "1s",
     "`always`: a record is on the disk before its byte leaves. A window: written at once, synced "
     "within it; a power "
     "cut loses at most that."},
    {"gateway.journal.keep", Type::duration, "24h", "0s", "8760h",
     "How long a segment that is posted stays where no backup covers it; a covered one may go after a day."},
    {"gateway.journal.segment", Type::size, "64MiB", "64KiB", "1GiB", "Size of one segment file."},
    {"gateway.workers", Type::count, "auto", "1", "256", "Threads that serve; `auto`: one a core."},
    {"gateway.deadlines", Type::section, "", "", "", "How long anything may take."},
    {"gateway.deadlines.head", Type::duration, "10s", "1ms", "1h",
     "A request's head, from its first byte."},
    {"gateway.deadlines.body", Type::duration, "30s", "1ms", "1h", "A request's body."},
    {"gateway.deadlines.connect", Type::duration, "2s", "1ms", "1h", "Connecting to an engine."},
    {"gateway.deadlines.first_token", Type::duration, "30s", "1ms", "1h",
     "From dispatch to the first token."},
    {"gateway.deadlines.unary_token", Type::duration, "100ms", "0ms", "1m",
     "Added to `first_token` for each token that an answer without streaming may have."},
    {"gateway.deadlines.gap", Type::duration, "15s", "1ms", "1h",
     "Between two tokens, while a read is pending."},
    {"gateway.deadlines.stall", Type::duration, "30s", "1ms", "1h",
     "A customer takes no byte: it has left."},
    {"gateway.deadlines.keepalive", Type::duration, "5s", "1ms", "1h",
     "Between keep-alive comments in a silent stream."},
    {"gateway.deadlines.idle", Type::duration, "60s", "1ms", "24h",
     "A connection without a request."},
    {"gateway.deadlines.total", Type::duration, "10m", "1ms", "24h", "A whole request."},
    {"gateway.deadlines.drain", Type::duration, "30s", "0s", "24h",
     "After SIGTERM, before open streams are ended."},
    {"gateway.limits", Type::section, "", "", "",
     "How large anything may grow; hitting one is a typed refusal."},
    {"gateway.limits.head", Type::size, "16KiB", "1KiB", "64KiB",
     "A request's or an answer's head."},
    {"gateway.limits.headers", Type::count, "100", "8", "1000", "Fields of a head."},
    {"gateway.limits.body", Type::size, "16MiB", "1KiB", "1GiB", "A request's body."},
    {"gateway.limits.event", Type::size, "1MiB", "1KiB", "64MiB",
     "One event of an engine's stream."},
    {"gateway.limits.unary_hold", Type::size, "1MiB", "0B", "64MiB",
     "An answer without streaming up to this is held and checked before its head leaves; a stream's text up to this is "
     "kept so that another site can go on from it."},
    {"gateway.limits.buffers", Type::size, "1GiB", "1MiB", "1TiB",
     "All held bodies and answers together."},
    {"gateway.limits.connections", Type::count, "20000", "1", "1000000", "Customers' connections."},
    {"gateway.limits.idempotent_answer", Type::size, "1MiB", "0B", "64MiB",
     "One answer kept for its `Idempotency-Key`."},
    {"gateway.limits.idempotent_total", Type::size, "256MiB", "0B", "64GiB",
     "All kept answers together."},
    {"gateway.continuations", Type::count, "3", "0", "10",
     "Other sites that may go on with a broken stream; 0: none."},
    {"gateway.probe_generation", Type::duration, "10s", "0s", "10m",
     "Once a model of a dialled engine's version, one token is generated to see what the engine does; what it may take "
     "for it. 0s: never, and the dialect's table is believed."},
    {"gateway.admin", Type::section, "", "", "", "The operator's door."},
    {"gateway.admin.token_env", Type::text, "TRIBUTARY_ADMIN_TOKEN", "", "",
     "Environment variable that holds the operator's token; unset: the admin doors answer 401."},
    {"settlement.grace_days", Type::count, "3", "0", "28",
     "Days after a month's end before its books can be reconciled: for late facts and disputes."},
    {"store.url", Type::text, "sqlite:DATA/ledger.db", "", "",
     "`sqlite:PATH`, relative to the working directory; DATA is `gateway.data`. Or `postgresql://USER@HOST/DATABASE`, "
     "without a password in it (docs/durability.md)."},
    {"store.backlog", Type::count, "1000000", "1000", "1000000000",
     "Durable records that the store has not taken, such as while it is away, beyond which requests are refused with 503 "
     "until it has caught up to half of that."},
};

// %41 is A; what is not an escape stays.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const bool escape = text[i] == '%' && i + 2 < text.size() &&
                        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr == text.data() + i + 3;
    out += escape ? static_cast<char>(value) : text[i];
    if (escape) i += 2;
  }
  return out;
}

Deadlines read_deadlines(const Section& in) {
  Deadlines out;
  out.head_ms = in.duration_ms("head");
  out.body_ms = in.duration_ms("body");
  out.connect_ms = in.duration_ms("connect");
  out.first_token_ms = in.duration_ms("first_token");
  out.unary_token_ms = in.duration_ms("unary_token");
  out.gap_ms = in.duration_ms("gap");
  out.stall_ms = in.duration_ms("stall");
  out.keepalive_ms = in.duration_ms("keepalive");
  out.idle_ms = in.duration_ms("idle");
  out.total_ms = in.duration_ms("total");
  out.drain_ms = in.duration_ms("drain");
  return out;
}

Limits read_limits(const Section& in) {
  Limits out;
  out.head_bytes = in.size("head");
  out.headers = in.count32("headers");
  out.body_bytes = in.size("body");
  out.event_bytes = in.size("event");
  out.unary_hold_bytes = in.size("unary_hold");
  out.buffers_bytes = in.size("buffers");
  out.connections = in.count32("connections");
  out.idempotent_answer_bytes = in.size("idempotent_answer");
  out.idempotent_total_bytes = in.size("idempotent_total");
  return out;
}

JournalConfig read_journal(const Section& in) {
  JournalConfig out;
  out.sync_always = in.text("sync") == "always";
  if (!out.sync_always) {
    if (!parse_duration_ms(in.text("sync")))
      in.fail("sync", "must be always, or a window such as 5ms");
    out.sync_window_ms = in.duration_ms("sync");
  }
  out.keep_ms = in.duration_ms("keep");
  out.segment_bytes = in.size("segment");
  return out;
}

std::string pem(const Section& in, const char* key) {
  std::string path = in.document().beside(in.path(key));
  if (::access(path.c_str(), R_OK) != 0)
    in.fail(key, "the file " + path + " cannot be read; name a PEM file that is there");
  return path;
}

SitesDoor read_door(const Section& in) {
  SitesDoor out;
  out.listen = in.address("listen");
  for (const Section::Item& item : in.texts("public")) {
    auto address = parse_address(item.text);
    if (!address || address->port == 0) {
      in.fail_at(item, shown(item.node->raw) +
                           " is not an address; write host:port, such as gw.example:8443");
    }
    out.reached_at.push_back(std::move(*address));
  }
  if (out.reached_at.empty()) out.reached_at.push_back(out.listen);
  return out;
}

void read_admin(const Section& in, GatewayConfig& out) {
  out.admin_token_env = in.text("token_env");
  const bool name_ok =
      std::all_of(out.admin_token_env.begin(), out.admin_token_env.end(), [](char c) {
        return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
               (c >= '0' && c <= '9');
      });
  if (!name_ok)
    in.fail("token_env",
            "must name an environment variable, not hold the token; letters, digits and _");
  const Environment env = in.document().env();
  const char* token = env ? env(out.admin_token_env.c_str()) : nullptr;
  out.admin_token = token ? token : "";
  const bool token_ok = std::all_of(out.admin_token.begin(), out.admin_token.end(),
                                    [](char c) { return c > 0x20 && c < 0x7f; });
  if (!token_ok || out.admin_token.size() > value_bytes_max) {
    in.fail("token_env", "the token in $" + out.admin_token_env +
                             " holds a blank or a byte outside ASCII, or is too long; "
                             "a bearer token cannot");
  }
}

void check_doors(const Section& in, const GatewayConfig& gateway) {
  if (!gateway.tls && !gateway.insecure && !gateway.listen.loopback()) {
    in.fail("listen", shown(gateway.listen.text()) +
                          " is not loopback and there is no TLS; add tls: { certificate, key }, or "
                          "say insecure: true");
  }
  const bool same = gateway.listen.port != 0 && gateway.listen.port == gateway.sites.listen.port &&
                    gateway.listen.host == gateway.sites.listen.host;
  if (same)
    in.fail("listen", "is also sites.listen; one port for both is not honoured by this version");
}

}  // namespace

std::span<const Key> gateway_keys() {
  return rows;
}

GatewayConfig read_gateway(const Section& in) {
  GatewayConfig out;
  out.listen = in.address("listen");
  if (in.given("tls")) {
    const Section tls = in.section("tls");
    out.tls = Tls{pem(tls, "certificate"), pem(tls, "key")};
  }
  out.insecure = in.flag("insecure");
  out.sites = read_door(in.section("sites"));
  out.data = in.path("data");
  out.journal = read_journal(in.section("journal"));
  const std::string workers = in.text("workers");
  if (workers != "auto" && !parse_count(workers))
    in.fail("workers", "must be auto, or a count of threads");
  out.workers = workers == "auto" ? 0 : in.count32("workers");
  out.deadlines = read_deadlines(in.section("deadlines"));
  out.limits = read_limits(in.section("limits"));
  out.continuations = in.count32("continuations");
  out.probe_generation_ms = in.duration_ms("probe_generation");
  read_admin(in.section("admin"), out);
  check_doors(in, out);
  return out;
}

std::string store_url_problem(std::string_view url) {
  const auto begin = url.find("://");
  if (begin == std::string_view::npos) return "is not a store that is known; write postgresql://USER@HOST/DATABASE";
  const auto rest = url.substr(begin + 3);
  const auto end = rest.find_first_of("/?");
  const auto authority = rest.substr(0, end);
  const auto at = authority.rfind('@');
  const bool in_front = at != std::string_view::npos && authority.substr(0, at).find(':') != std::string_view::npos;
  const auto query = rest.find('?');
  const bool behind = query != std::string_view::npos && unescaped(rest.substr(query)).find("password=") != std::string::npos;
  if (in_front || behind) return "must not hold a password, which logs and backups would keep; put it in a file that PGPASSFILE or ?passfile= names";
  return {};
}

std::string read_store(const Section& in, const std::string& data) {
  if (!in.given("url")) return data + "/ledger.db";
  const std::string url = in.text("url");
  if (url.substr(0, 13) == "postgresql://" || url.substr(0, 11) == "postgres://") {
    if (const auto why = store_url_problem(url); !why.empty()) in.fail("url", why);
    return url;
  }
  if (url.substr(0, 7) != "sqlite:" || url.size() == 7) {
    in.fail("url", "is not a store that is known; write sqlite:PATH, such as sqlite:var/ledger.db, or postgresql://USER@HOST/DATABASE");
  }
  const std::string path = url.substr(7);
  if (path[0] == ':' || path.find_first_of("?#") != std::string::npos) {
    in.fail("url",
            "must name a plain file that lasts; write sqlite:PATH, such as sqlite:var/ledger.db");
  }
  return path;
}

}  // namespace trib::config
