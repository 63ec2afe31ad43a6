// One golden message a rule: the exact line a person reads when the file breaks it.
#include <cstring>

#include "gateway/config/config.h"
#include "tests/catch.h"

using namespace trib::config;

namespace {

struct Case {
  const char* yaml;
  const char* message;
};

const char* env(const char* name) {
  static const std::string long_value(5000, 'x');
  if (std::strcmp(name, "LONG") == 0) return long_value.c_str();
  return std::strcmp(name, "BLANK") == 0 ? "a b" : nullptr;
}

template <typename Parse>
std::string message_of(Parse parse, const char* yaml) {
  try {
    parse("f.yaml", yaml, env);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

void check_gateway(std::initializer_list<Case> cases) {
  for (const Case& c : cases) {
    INFO(c.yaml);
    CHECK(message_of(parse_gateway, c.yaml) == c.message);
  }
}

void check_agent(std::initializer_list<Case> cases) {
  for (const Case& c : cases) {
    INFO(c.yaml);
    CHECK(message_of(parse_agent, c.yaml) == c.message);
  }
}

}  // namespace

TEST_CASE("refused: the file as a whole") {
  check_gateway({
      {"", "f.yaml:1:1: document: empty; start from configs/minimal.yaml"},
      {"# nothing\n", "f.yaml:1:1: document: empty; start from configs/minimal.yaml"},
      {"- a\n", "f.yaml:1:1: document: must be a map of sections"},
      {"just words\n", "f.yaml:1:1: document: must be a map of sections"},
      {"gateway: {}\n"
       "---\n"
       "store: {}\n",
       "f.yaml:3:1: document: a second YAML document; keep one document in a file"},
      {"gateway: {\n",
       "f.yaml:1:1: document: broken YAML: the file ends inside a quote, a list or a map; close "
       "it"},
      {"gateway:\n"
       "\tlisten: a\n",
       "f.yaml:2:8: document: broken YAML: illegal map value; look for wrong indentation, quotes "
       "or "
       "brackets here"},
      {"store:\n"
       "  url: \"sqlite:a\n",
       "f.yaml:2:1: document: broken YAML: the file ends inside a quote, a list or a map; close "
       "it"},
      {"gateway: &all {}\n",
       "f.yaml:1:10: gateway: anchors and aliases (&, *) are not read; write the value out"},
      {"gateway: {listen: &a x}\n",
       "f.yaml:1:19: gateway.listen: anchors and aliases (&, *) are not read; write the value out"},
      {"store: {url: !!str a}\n",
       "f.yaml:1:14: store.url: tags (!) are not read; leave the tag out"},
      {"gateway: {}\n"
       "gateway: {}\n",
       "f.yaml:2:1: gateway: this key stands here twice; keep one of them"},
      {"models:\n"
       "  - id: a\n"
       "    id: b\n",
       "f.yaml:3:5: models[0].id: this key stands here twice; keep one of them"},
      {"[a, b]: 1\n",
       "f.yaml:1:1: document: a key must be a word, not a list or a map; put it in quotes if it "
       "holds "
       "brackets"},
      {"~: 1\n",
       "f.yaml:1:1: document: a key is missing or is null; write it as a word, or in quotes"},
      {"gateway: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: 1}}}}}}}}}}}}\n",
       "f.yaml:1:54: gateway.a.a.a.a.a.a.a.a.a.a.a: nested deeper than 12 levels; nothing here "
       "needs that"},
      {"gateway: {data: a\004b}\n", "f.yaml:1:18: document: a control byte; remove it"},
      {"gateway: {data: \"\377\"}\n", "f.yaml:1:18: document: not UTF-8; save the file as UTF-8"},
  });
}

TEST_CASE("refused: keys and kinds of value") {
  check_gateway({
      {"gatway: {}\n", "f.yaml:1:1: gatway: unknown key; did you mean gateway?"},
      {"gateway: {deadlines: {frist_token: 1s}}\n",
       "f.yaml:1:23: gateway.deadlines.frist_token: unknown key; did you mean first_token?"},
      {"gateway: {colour: red}\n",
       "f.yaml:1:11: gateway.colour: unknown key; known here: listen, tls, insecure, sites, data, "
       "journal, "
       "workers, deadlines, limits, continuations, probe_generation, admin"},
      {"sites: {}\n", "f.yaml:1:8: sites: must be a list; begin each entry with \"- \""},
      {"gateway: [a]\n",
       "f.yaml:1:10: gateway: must be a map with the keys listen, tls, insecure, sites, data, "
       "journal, "
       "workers, deadlines, limits, continuations, probe_generation, admin"},
      {"gateway: {listen: [a]}\n",
       "f.yaml:1:19: gateway.listen: must be one value, not a list or a map"},
      {"gateway:\n"
       "  listen:\n",
       "f.yaml:2:3: gateway.listen: has no value; write one or leave the key out"},
      {"gateway: {insecure: yes}\n",
       "f.yaml:1:21: gateway.insecure: \"yes\" must be true or false"},
      {"gateway: {data: \"\"}\n",
       "f.yaml:1:17: gateway.data: is empty; write a value or leave the key out"},
      {"gateway: {data: \"a\\n"
       "b\"}\n",
       "f.yaml:1:17: gateway.data: holds a control byte; write it on one line"},
      {"tenants:\n"
       "  -\n",
       "f.yaml:2:1: tenants[0]: is empty; fill it or remove it"},
      {"gateway: {data: \"${UNSET}\"}\n",
       "f.yaml:1:17: gateway.data: ${UNSET} is not set in the environment; set it or write the "
       "value"},
      {"gateway: {data: \"${SE-T}\"}\n",
       "f.yaml:1:17: gateway.data: \"${SE-T}\" has a broken ${NAME}; a name is letters, digits and "
       "_"},
      {"gateway: {data: \"${LONG}\"}\n",
       "f.yaml:1:17: gateway.data: longer than 4096 bytes; shorten it"},
  });
}

TEST_CASE("refused: the gateway") {
  check_gateway({
      {"gateway: {listen: localhost}\n",
       "f.yaml:1:19: gateway.listen: \"localhost\" is not an address; write host:port, such as "
       "127.0.0.1:8080 or [::1]:8080"},
      {"gateway: {listen: 127.0.0.1:65536}\n",
       "f.yaml:1:19: gateway.listen: \"127.0.0.1:65536\" is not an address; write host:port, such "
       "as "
       "127.0.0.1:8080 or [::1]:8080"},
      {"gateway: {listen: 0.0.0.0:80}\n",
       "f.yaml:1:19: gateway.listen: \"0.0.0.0:80\" is not loopback and there is no TLS; add tls: "
       "{ "
       "certificate, key }, or say insecure: true"},
      {"gateway: {listen: \"[::]:80\"}\n",
       "f.yaml:1:19: gateway.listen: \"[::]:80\" is not loopback and there is no TLS; add tls: { "
       "certificate, key }, or say insecure: true"},
      {"gateway: {listen: 127.0.0.1:1, sites: {listen: 127.0.0.1:1}}\n",
       "f.yaml:1:19: gateway.listen: is also sites.listen; one port for both is not honoured by "
       "this version"},
      {"gateway: {tls: {certificate: absent.pem, key: absent.pem}}\n",
       "f.yaml:1:30: gateway.tls.certificate: the file absent.pem cannot be read; name a PEM file "
       "that is "
       "there"},
      {"gateway: {tls: {certificate: absent.pem}}\n",
       "f.yaml:1:30: gateway.tls.certificate: the file absent.pem cannot be read; name a PEM file "
       "that is "
       "there"},
      {"gateway: {tls: {key: absent.pem}}\n",
       "f.yaml:1:16: gateway.tls.certificate: is missing; add it, it has no default"},
      {"gateway: {sites: {public: gw.example:8443}}\n",
       "f.yaml:1:27: gateway.sites.public: must be a list, such as [a, b]"},
      {"gateway: {sites: {public: [gw.example]}}\n",
       "f.yaml:1:28: gateway.sites.public[0]: \"gw.example\" is not an address; write host:port, "
       "such as "
       "gw.example:8443"},
      {"gateway: {journal: {sync: never}}\n",
       "f.yaml:1:27: gateway.journal.sync: must be always, or a window such as 5ms"},
      {"gateway: {journal: {sync: 2s}}\n",
       "f.yaml:1:27: gateway.journal.sync: \"2s\" is out of bounds; 1ms to 1s"},
      {"gateway: {workers: many}\n",
       "f.yaml:1:20: gateway.workers: must be auto, or a count of threads"},
      {"gateway: {workers: 0}\n", "f.yaml:1:20: gateway.workers: \"0\" is out of bounds; 1 to 256"},
      {"gateway: {deadlines: {gap: 15}}\n",
       "f.yaml:1:28: gateway.deadlines.gap: \"15\" is not a duration; write a whole number with "
       "ms, s, m or "
       "h, such as 10s"},
      {"gateway: {deadlines: {gap: 1.5s}}\n",
       "f.yaml:1:28: gateway.deadlines.gap: \"1.5s\" is not a duration; write a whole number with "
       "ms, s, m "
       "or h, such as 10s"},
      {"gateway: {deadlines: {gap: 0s}}\n",
       "f.yaml:1:28: gateway.deadlines.gap: \"0s\" is out of bounds; 1ms to 1h"},
      {"gateway: {deadlines: {total: 25h}}\n",
       "f.yaml:1:30: gateway.deadlines.total: \"25h\" is out of bounds; 1ms to 24h"},
      {"gateway: {limits: {head: 16KB}}\n",
       "f.yaml:1:26: gateway.limits.head: \"16KB\" is not a size; write a whole number with B, "
       "KiB, MiB, "
       "GiB or TiB, such as 16KiB"},
      {"gateway: {limits: {head: 1B}}\n",
       "f.yaml:1:26: gateway.limits.head: \"1B\" is out of bounds; 1KiB to 64KiB"},
      {"gateway: {limits: {headers: -1}}\n",
       "f.yaml:1:29: gateway.limits.headers: \"-1\" is not a count; write a whole number without "
       "sign or "
       "separators"},
      {"gateway: {limits: {headers: 1e3}}\n",
       "f.yaml:1:29: gateway.limits.headers: \"1e3\" is not a count; write a whole number without "
       "sign or "
       "separators"},
      {"gateway: {limits: {connections: 0}}\n",
       "f.yaml:1:33: gateway.limits.connections: \"0\" is out of bounds; 1 to 1000000"},
      {"gateway: {continuations: 11}\n",
       "f.yaml:1:26: gateway.continuations: \"11\" is out of bounds; 0 to 10"},
      {"gateway: {admin: {token_env: sk-token}}\n",
       "f.yaml:1:30: gateway.admin.token_env: must name an environment variable, not hold the "
       "token; "
       "letters, digits and _"},
      {"gateway: {admin: {token_env: BLANK}}\n",
       "f.yaml:1:30: gateway.admin.token_env: the token in $BLANK holds a blank or a byte outside "
       "ASCII, or "
       "is too long; a bearer token cannot"},
      {"store: {url: \"postgresql://u:secret@h/db\"}\n",
       "f.yaml:1:14: store.url: must not hold a password, which logs and backups would keep; put it in a file that PGPASSFILE or "
       "?passfile= names"},
      {"store: {url: \"postgres://u@h/db?p%61ssword=secret\"}\n",
       "f.yaml:1:14: store.url: must not hold a password, which logs and backups would keep; put it in a file that PGPASSFILE or "
       "?passfile= names"},
      {"store: {url: \"postgresql:db\"}\n",
       "f.yaml:1:14: store.url: is not a store that is known; write sqlite:PATH, such as "
       "sqlite:var/ledger.db, or postgresql://USER@HOST/DATABASE"},
      {"store: {backlog: 10}\n", "f.yaml:1:18: store.backlog: \"10\" is out of bounds; 1000 to 1000000000"},
      {"store: {url: var/ledger.db}\n",
       "f.yaml:1:14: store.url: is not a store that is known; write sqlite:PATH, such as "
       "sqlite:var/ledger.db, or postgresql://USER@HOST/DATABASE"},
      {"store: {url: \"sqlite::memory:\"}\n",
       "f.yaml:1:14: store.url: must name a plain file that lasts; write sqlite:PATH, such as "
       "sqlite:var/ledger.db"},
  });
}

TEST_CASE("refused: models and prices") {
  check_gateway({
      {"models:\n"
       "  - context: 5\n",
       "f.yaml:2:5: models[0].id: is missing; add it, it has no default"},
      {"models:\n"
       "  - id: A\n"
       "    context: 5\n",
       "f.yaml:2:9: models[0].id: \"A\" is not an id; use a-z, 0-9, '.', '_' and '-', a letter or "
       "digit "
       "first, at most 128"},
      {"models:\n"
       "  - id: a\n"
       "    context: 0\n",
       "f.yaml:3:14: models[0].context: \"0\" is out of bounds; 1 to 16777216"},
      {"models:\n"
       "  - {id: a, context: 1}\n"
       "  - {id: a, context: 1}\n",
       "f.yaml:3:10: models[1].id: the model a stands at line 2 already; keep one of them"},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { input: 0.50, output: \"2\" }\n",
       "f.yaml:4:21: models[0].price.input: a bare number may be rounded before it is read; put it "
       "in "
       "quotes: \"0.50\""},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { input: \"0.5000001\", output: \"2\" }\n",
       "f.yaml:4:21: models[0].price.input: \"0.5000001\" is not a price; CNY per 1M tokens, not "
       "negative, "
       "at most 6 decimals, such as \"0.50\""},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { input: \"-1\", output: \"2\" }\n",
       "f.yaml:4:21: models[0].price.input: \"-1\" is not a price; CNY per 1M tokens, not "
       "negative, at most "
       "6 decimals, such as \"0.50\""},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { input: \"1\" }\n",
       "f.yaml:4:12: models[0].price.output: is missing; add it, it has no default"},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { output: \"1\" }\n",
       "f.yaml:4:12: models[0].price.input: is missing; add it, it has no default"},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { from: 2026-02-30, input: \"1\", output: \"2\" }\n",
       "f.yaml:4:20: models[0].price.from: \"2026-02-30\" is not a date; write 2026-01-01 or "
       "2026-01-01T00:00:00+08:00"},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: [{ from: 2026-01-01, input: \"1\", output: \"2\" }, { from: "
       "2026-01-01T00:00:00+08:00, input: \"1\", output: \"2\" }]\n",
       "f.yaml:4:68: models[0].price[1].from: overlaps the version at line 4, which begins at the "
       "same "
       "time; give it a later date"},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: [{ from: 2026-01-01, input: \"1\", output: \"2\" }, { input: \"1\", output: "
       "\"2\" }]\n",
       "f.yaml:4:60: models[0].price[1].from: is missing; in a list every price needs its date"},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { input: \"1\", output: \"2\", tax: { inclusive: true } }\n",
       "f.yaml:4:44: models[0].price.tax.percent: is missing; add it, it has no default"},
      {"models:\n"
       "  - id: m\n"
       "    context: 10\n"
       "    price: { input: \"1\", output: \"2\", tax: { percent: 101 } }\n",
       "f.yaml:4:55: models[0].price.tax.percent: \"101\" is out of bounds; 0 to 100"},
  });
}

TEST_CASE("refused: contracts") {
  check_gateway({
      {"contracts:\n"
       "  - id: c\n"
       "    shares: { platform: 1000000 }\n",
       "f.yaml:2:5: contracts[0].from: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n",
       "f.yaml:2:5: contracts[0].shares: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 300000, site: 600000 }\n",
       "f.yaml:4:13: contracts[0].shares: the shares sum to 900000; they must sum to 1000000 "
       "(parts per "
       "million)"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 2000000 }\n",
       "f.yaml:4:25: contracts[0].shares.platform: \"2000000\" is out of bounds; 0 to 1000000"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    to: 2026-01-01\n",
       "f.yaml:5:9: contracts[0].to: is not after from; correct one of them"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { site: 1000000 }\n",
       "f.yaml:6:11: contracts[1].from: overlaps the version of c at line 2, which begins at the "
       "same time; "
       "give it a later date"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    to: 2027-01-01\n"
       "  - id: c\n"
       "    from: 2026-06-01\n"
       "    shares: { site: 1000000 }\n",
       "f.yaml:5:9: contracts[0].to: overlaps the version of c at line 6; end it there at the "
       "latest, or "
       "leave to out"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 900000, referrer: 100000 }\n",
       "f.yaml:4:13: contracts[0].shares: gives the referrer a share, but no referrer is named; "
       "add "
       "referrer: { party: ID } or give the share to others"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    referrer: { party: p, until: 2025-12-31 }\n",
       "f.yaml:5:34: contracts[0].referrer.until: is before the contract's from; correct one of "
       "them"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    referrer: { until: 2027-12-31 }\n",
       "f.yaml:5:15: contracts[0].referrer.party: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    base: net\n",
       "f.yaml:5:11: contracts[0].base: \"net\" is not known; one of gross, net_of_refunds, net_of_vat, net_of_fees"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    tiers: { mode: graduated, steps: [] }\n",
       "f.yaml:5:38: contracts[0].tiers.steps: has 0 entries; 1 to 16"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    tiers: { mode: whole }\n",
       "f.yaml:5:12: contracts[0].tiers.steps: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    tiers: { steps: [ { over: \"0\", shares: { site: 1000000 } } ] }\n",
       "f.yaml:5:31: contracts[0].tiers.steps[0].over: must be above zero; the contract's own shares hold from zero on"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    tiers: { steps: [ { over: \"2\", shares: { site: 1000000 } }, { over: \"2.0\", shares: { site: 1000000 } } ] }\n",
       "f.yaml:5:73: contracts[0].tiers.steps[1].over: is not above that of the step before; let the steps rise"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    tiers: { steps: [ { over: \"1\", shares: { site: 999999 } } ] }\n",
       "f.yaml:5:44: contracts[0].tiers.steps[0].shares: the shares sum to 999999; they must sum to 1000000 (parts per million)"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    tiers: { steps: [ { over: \"1\", shares: { site: 999999, referrer: 1 } } ] }\n",
       "f.yaml:5:44: contracts[0].tiers.steps[0].shares: gives the referrer a share, but the contract names none; add referrer: { party: ID }"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    guarantee: 5000\n",
       "f.yaml:5:16: contracts[0].guarantee: a bare number may be rounded before it is read; put it in quotes: \"5000\""},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    guarantee: \"-1\"\n",
       "f.yaml:5:16: contracts[0].guarantee: \"-1\" is not an amount; CNY, not negative, at most 12 decimals, such as \"100.00\""},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    holdback: { ppm: 1000001 }\n",
       "f.yaml:5:22: contracts[0].holdback.ppm: \"1000001\" is out of bounds; 0 to 1000000"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    holdback: { days: 3651 }\n",
       "f.yaml:5:23: contracts[0].holdback.days: \"3651\" is out of bounds; 0 to 3650"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    min_payout: \"0.005\"\n",
       "f.yaml:5:17: contracts[0].min_payout: is not in whole fen; write at most 2 decimals"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    chargeback: vendor\n",
       "f.yaml:5:17: contracts[0].chargeback: \"vendor\" is not known; one of by_split, platform, site"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    chargeback_cost: vendor\n",
       "f.yaml:5:22: contracts[0].chargeback_cost: \"vendor\" is not known; one of platform, site, by_split"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    penalties: [ { cause: a, below_ppm: 1, amount: \"2\", cap: \"1\" } ]\n",
       "f.yaml:5:62: contracts[0].penalties[0].cap: is below the amount; a cap holds at least one penalty"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    penalties: [ { cause: a, below_ppm: 1, amount: \"2\" } ]\n",
       "f.yaml:5:18: contracts[0].penalties[0].cap: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    early_exit: { by: vendor, ppm: 1 }\n",
       "f.yaml:5:23: contracts[0].early_exit.by: \"vendor\" is not known; one of either, platform, site"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    early_exit: { by: either }\n",
       "f.yaml:5:17: contracts[0].early_exit.ppm: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    index: { name: h100-hour }\n",
       "f.yaml:5:12: contracts[0].index.reference: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    index: { name: i, reference: \"0\" }\n",
       "f.yaml:5:34: contracts[0].index.reference: must be above zero; it is what the index is compared with"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    index: { name: i, reference: \"1\", alarm_ppm: 0 }\n",
       "f.yaml:5:50: contracts[0].index.alarm_ppm: \"0\" is out of bounds; 1 to 1000000"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    policies: { on_cancel: all }\n",
       "f.yaml:5:28: contracts[0].policies.on_cancel: \"all\" is not known; one of received, delivered, acknowledged"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    policies: { on_break: some }\n",
       "f.yaml:5:27: contracts[0].policies.on_break: \"some\" is not known; one of output_only, all, nothing"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    policies: { zero_output: prompt }\n",
       "f.yaml:5:30: contracts[0].policies.zero_output: \"prompt\" is not known; one of nothing, input"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    policies: { pay_loser: yes }\n",
       "f.yaml:5:28: contracts[0].policies.pay_loser: \"yes\" must be true or false"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "    policies: { meters: higher }\n",
       "f.yaml:5:25: contracts[0].policies.meters: \"higher\" is not known; one of lower, gateway"},
  });
}

TEST_CASE("refused: sites") {
  check_gateway({
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 590000, referrer: 10000 }\n"
       "    referrer: { party: s }\n"
       "sites:\n"
       "  - { id: s, kind: cafe, contract: c }\n",
       "f.yaml:7:36: sites[0].contract: its referrer is the site itself; nobody is paid for bringing himself: "
       "name another referrer or another contract"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { kind: cafe, contract: c }\n",
       "f.yaml:6:5: sites[0].id: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, contract: c }\n",
       "f.yaml:6:5: sites[0].kind: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: farm, contract: c }\n",
       "f.yaml:6:20: sites[0].kind: \"farm\" is not known; one of hosted, datacenter, lab, edge, "
       "cafe"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: cafe }\n",
       "f.yaml:6:5: sites[0].contract: is missing; add it, it has no default"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: cafe, contract: d }\n",
       "f.yaml:6:36: sites[0].contract: \"d\" is not in contracts; add it there"},
      {"contracts:\n"
       "  - id: standard\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: cafe, contract: standart }\n",
       "f.yaml:6:36: sites[0].contract: \"standart\" is not in contracts; did you mean standard?"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: cafe, contract: c }\n"
       "  - { id: s, kind: cafe, contract: c }\n",
       "f.yaml:7:11: sites[1].id: the site s stands at line 6 already; keep one of them"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"127.0.0.1:9001\" } ] }\n",
       "f.yaml:6:56: sites[0].engines[0].url: is not an engine's URL; write http://host:port, "
       "perhaps with "
       "a plain path, nothing after it"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://u@h/\" } ] }\n",
       "f.yaml:6:56: sites[0].engines[0].url: is not an engine's URL; write http://host:port, "
       "perhaps with "
       "a plain path, nothing after it"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h/?a\" } ] }\n",
       "f.yaml:6:56: sites[0].engines[0].url: is not an engine's URL; write http://host:port, "
       "perhaps with "
       "a plain path, nothing after it"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h\" }, { url: "
       "\"http://h:80/\" } ] }\n",
       "f.yaml:6:77: sites[0].engines[1].url: stands twice at this site; keep one of them"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h\", models: m } ] }\n",
       "f.yaml:6:76: sites[0].engines[0].models: must be a list, such as [a, b]"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h\", models: [] } ] }\n",
       "f.yaml:6:76: sites[0].engines[0].models: has 0 entries; 1 to 1000"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h\", models: [ a, a ] } ] "
       "}\n",
       "f.yaml:6:81: sites[0].engines[0].models[1]: the model a stands here twice; keep one of "
       "them"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h\", models: { Big: x } } "
       "] }\n",
       "f.yaml:6:83: sites[0].engines[0].models.Big: \"Big\" is not a model's id; use a-z, 0-9, "
       "'.', '_' "
       "and '-', a letter or digit first, at most 128"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h\", models: { a: \"\" } } "
       "] }\n",
       "f.yaml:6:81: sites[0].engines[0].models.a: must be the engine's own name of the model, 1 "
       "to 256 "
       "bytes"},
      {"contracts:\n"
       "  - id: c\n"
       "    from: 2026-01-01\n"
       "    shares: { platform: 400000, site: 600000 }\n"
       "sites:\n"
       "  - { id: s, kind: lab, contract: c, engines: [ { url: \"http://h\", capacity: 0 } ] }\n",
       "f.yaml:6:78: sites[0].engines[0].capacity: \"0\" is out of bounds; 1 to 65536"},
  });
}

TEST_CASE("refused: tenants") {
  check_gateway({
      {"tenants:\n"
       "  - { balance: \"1\" }\n",
       "f.yaml:2:5: tenants[0].id: is missing; add it, it has no default"},
      {"tenants:\n"
       "  - { id: t }\n"
       "  - { id: t }\n",
       "f.yaml:3:11: tenants[1].id: the tenant t stands at line 2 already; keep one of them"},
      {"tenants:\n"
       "  - { id: t, keys: [ { sha256: sk-in-clear } ] }\n",
       "f.yaml:2:32: tenants[0].keys[0].sha256: must be the SHA-256 of the key as 64 hex digits; "
       "printf %s "
       "KEY | sha256sum prints it"},
      {"tenants:\n"
       "  - { id: t, keys: [ sk-in-clear ] }\n",
       "f.yaml:2:22: tenants[0].keys[0]: must be a map with the keys sha256, budgets"},
      {"tenants:\n"
       "  - { id: t, holds: estimate }\n",
       "f.yaml:2:21: tenants[0].holds: an estimate may be passed, so it needs a `credit` above 0; take worst_case, or give the tenant "
       "a credit"},
      {"tenants:\n"
       "  - { id: t, keys: [ { sha256: "
       "\"0000000000000000000000000000000000000000000000000000000000000000\" } ] }\n"
       "  - { id: u, keys: [ { sha256: "
       "\"0000000000000000000000000000000000000000000000000000000000000000\" } ] }\n",
       "f.yaml:3:32: tenants[1].keys[0].sha256: this key belongs to the tenant t already; a key "
       "has one "
       "tenant and stands once"},
      {"tenants:\n"
       "  - { id: t, balance: 100.00 }\n",
       "f.yaml:2:23: tenants[0].balance: a bare number may be rounded before it is read; put it in "
       "quotes: "
       "\"100.00\""},
      {"tenants:\n"
       "  - { id: t, balance: \"-1\" }\n",
       "f.yaml:2:23: tenants[0].balance: \"-1\" is not an amount; CNY, not negative, at most 12 "
       "decimals, "
       "such as \"100.00\""},
      {"tenants:\n"
       "  - { id: t, balance: \"1.0000000000001\" }\n",
       "f.yaml:2:23: tenants[0].balance: \"1.0000000000001\" is not an amount; CNY, not negative, "
       "at most "
       "12 decimals, such as \"100.00\""},
      {"tenants:\n"
       "  - { id: t, privacy: all }\n",
       "f.yaml:2:23: tenants[0].privacy: \"all\" is not known; one of any, dc, tee"},
      {"tenants:\n"
       "  - { id: t, limits: { in_flight: 1000001 } }\n",
       "f.yaml:2:35: tenants[0].limits.in_flight: \"1000001\" is out of bounds; 0 to 1000000"},
      {"tenants:\n"
       "  - { id: t, limits: { tokens: 1 } }\n",
       "f.yaml:2:24: tenants[0].limits.tokens: unknown key; known here: requests_per_minute, "
       "tokens_per_minute, in_flight"},
  });
}

TEST_CASE("refused: the agent's file") {
  check_agent({
      {"engines: []\n", "f.yaml:1:1: agent: is missing; add it, it has no default"},
      {"agent: {}\n", "f.yaml:1:8: agent.gateway: is missing; add it, it has no default"},
      {"agent: { gateway: \"http://g\" }\n",
       "f.yaml:1:19: agent.gateway: is not a gateway's address; write https://host:port, nothing "
       "after it"},
      {"agent: { gateway: \"https://g/x\" }\n",
       "f.yaml:1:19: agent.gateway: is not a gateway's address; write https://host:port, nothing "
       "after it"},
      {"agent: { gateway: \"https://g\", proxy: \"10.0.0.1:3128\" }\n",
       "f.yaml:1:39: agent.proxy: is not a proxy's address; write http://host:port, nothing after "
       "it"},
      {"agent: { gateway: \"https://g\", alpn_compat: true }\n",
       "f.yaml:1:32: agent.alpn_compat: not honoured by this version; leave it out"},
      {"agent: { gateway: \"https://g\" }\n"
       "engines: [ { capacity: 1 } ]\n",
       "f.yaml:2:12: engines[0]: needs url (an engine that runs already) or run (one that the "
       "agent "
       "starts), exactly one of them"},
      {"agent: { gateway: \"https://g\" }\n"
       "engines: [ { url: \"http://h\", run: [ a, \"{port}\" ] } ]\n",
       "f.yaml:2:12: engines[0]: needs url (an engine that runs already) or run (one that the "
       "agent "
       "starts), exactly one of them"},
      {"agent: { gateway: \"https://g\" }\n"
       "engines: [ { run: [ a ] } ]\n",
       "f.yaml:2:19: engines[0].run: names no {port}; the agent chooses the engine's port and must "
       "pass it "
       "on"},
      {"agent: { gateway: \"https://g\" }\n"
       "engines: [ { run: [] } ]\n",
       "f.yaml:2:19: engines[0].run: has 0 entries; 1 to 64"},
      {"agent: { gateway: \"https://g\" }\n"
       "lend: { when: idle }\n",
       "f.yaml:2:15: lend.when: \"idle\" is not honoured by this version; only always is"},
      {"agent: { gateway: \"https://g\" }\n"
       "lend: { until: \"24:00\" }\n",
       "f.yaml:2:16: lend.until: \"24:00\" is not a time of day; write it as \"22:30\""},
      {"agent: { gateway: \"https://g\" }\n"
       "lend: { idle_s_min: 120 }\n",
       "f.yaml:2:9: lend.idle_s_min: not honoured by this version; leave it out"},
      {"agent: { gateway: \"https://g\" }\n"
       "seats: { listen: \"0.0.0.0:7443\" }\n",
       "f.yaml:2:1: seats: not honoured by this version; leave it out"},
      {"agent: { gateway: \"https://g\" }\n"
       "devices: { plugins: [ here ] }\n",
       "f.yaml:2:23: devices.plugins[0]: \"here\" is not absolute; plugins are loaded from "
       "absolute folders "
       "only"},
      {"agent: { gateway: \"https://g\" }\n"
       "devices: { manual: [ { vendor: v, name: n } ] }\n",
       "f.yaml:2:22: devices.manual[0].memory: is missing; add it, it has no default"},
      {"agent: { gateway: \"https://g\" }\n"
       "devices: { manual: [ { vendor: v, name: n, memory: 64 } ] }\n",
       "f.yaml:2:52: devices.manual[0].memory: \"64\" is not a size; write a whole number with B, "
       "KiB, MiB, "
       "GiB or TiB, such as 16KiB"},
  });
}

TEST_CASE("a file that is too large or cannot be read") {
  CHECK(message_of(parse_gateway, std::string((1u << 20) + 1, '#').c_str()) ==
        "f.yaml:1:1: document: larger than 1 MiB; a configuration is at most that");
  std::string absent;
  try {
    load_gateway("configs/absent.yaml", env);
  } catch (const ConfigError& error) {
    absent = error.what();
  }
  CHECK(absent == "configs/absent.yaml:1:1: document: cannot be read: No such file or directory");
}

TEST_CASE("an error keeps its parts") {
  try {
    parse_gateway("f.yaml", "gateway:\n  deadlines: { gap: 15 }\n", env);
    FAIL("accepted");
  } catch (const ConfigError& error) {
    CHECK(error.file == "f.yaml");
    CHECK(error.line == 2);
    CHECK(error.column == 21);
    CHECK(error.path == "gateway.deadlines.gap");
  }
}

TEST_CASE("no message repeats what may be a key in clear or a value of the environment") {
  const std::string key =
      message_of(parse_gateway, "tenants: [ { id: t, keys: [ { sha256: sk-secret } ] } ]\n");
  CHECK(key.find("sk-secret") == std::string::npos);
  const std::string value = message_of(parse_gateway, "gateway: { listen: \"${BLANK}\" }\n");
  CHECK(value.find("a b") == std::string::npos);
  CHECK(value.find("${BLANK}") != std::string::npos);
}

TEST_CASE("every message is one line") {
  const std::string message = message_of(parse_gateway, "\"a\\nb\": 1\n");
  CHECK(message.find('\n') == std::string::npos);
}
