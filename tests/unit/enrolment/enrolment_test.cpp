// Who gets a certificate, who does not, and what is still known after a restart.
#include <set>

#include "gateway/base/json.h"
#include "gateway/fleet/enrolment.h"
#include "gateway/net/pki.h"
#include "gateway/net/tls.h"
#include "tests/catch.h"
#include "tests/support/mem_disk.h"

using namespace trib;
using namespace trib::fleet;
using trib::test::MemDisk;

namespace {

struct Wall final : Clock {
  std::int64_t mono_ns() const override { return 0; }
  std::int64_t wall_ms() const override { return now_ms; }
  std::int64_t now_ms = system_clock().wall_ms();  // certificates are verified by the real calendar
};

struct Office {
  MemDisk disk{1};
  Wall clock;
  std::unique_ptr<SiteRegistry> registry;
  std::unique_ptr<Enrolment> enrolment;
  int addresses = 0;

  Office() { restart(); }
  void restart() {
    std::string why;
    registry = std::make_unique<SiteRegistry>(disk, "var/sites.json");
    REQUIRE(registry->open(why));
    enrolment = Enrolment::open(disk, "var", *registry, clock, why);
    INFO(why);
    REQUIRE(enrolment);
  }
  std::string invite(const std::string& site = "cafe-one") {
    InviteTerms terms;
    terms.site = site;
    terms.kind = "cafe";
    terms.hosts = {"gw.test:8443"};
    std::string why;
    auto invite = enrolment->invite(terms, why);
    INFO(why);
    REQUIRE_FALSE(invite.token.empty());
    return invite.token;
  }
  static std::string body(const std::string& token, const std::string& csr, const std::string& instance = "i-1") {
    std::string out = "{\"token\":";
    json::quote(token, out);
    out += ",\"csr_pem\":";
    json::quote(csr, out);
    out += ",\"agent_version\":\"0.1.0\",\"instance_id\":\"" + instance + "\",\"devices\":[{\"any\":1}]}";
    return out;
  }
  EnrolReply enrol(const std::string& token, const std::string& key = net::make_key_pem()) {
    return enrolment->enrol(body(token, *net::make_request_pem(key, "cafe")), "10.0.0." + std::to_string(++addresses));
  }
};

std::string text_of(const std::string& json, std::string_view wanted) {
  json::Cursor c(json);
  std::string out;
  c.enter_object();
  std::string_view key;
  while (c.next_key(key)) {
    if (key == wanted) {
      c.read_string(out);
    } else {
      c.skip();
    }
  }
  CHECK(c.finish());
  return out;
}

bool says(const EnrolReply& reply, std::string_view code) { return reply.json.find(code) != std::string::npos; }

}  // namespace

TEST_CASE("an invited site gets a certificate that opens the door, once approved it is active") {
  Office office;
  const std::string token = office.invite();
  CHECK(office.registry->find("cafe-one")->state == SiteState::invited);
  std::string why;
  const auto content = read_token(token, why);
  REQUIRE(content);
  CHECK(content->site == "cafe-one");
  CHECK(content->hosts == std::vector<std::string>{"gw.test:8443"});
  CHECK(content->ca_pin == office.enrolment->ca_pin());
  CHECK(content->expires_s - content->issued_s == 24 * 3600);

  const std::string key = net::make_key_pem();
  const auto reply = office.enrol(token, key);
  REQUIRE(reply.status == 201);
  CHECK(reply.site == "cafe-one");
  CHECK(text_of(reply.json, "state") == "probation");
  CHECK(text_of(reply.json, "check_words") == reply.check_words);
  CHECK(text_of(reply.json, "chain_pem") == office.enrolment->ca_pem());
  const std::string certificate = text_of(reply.json, "cert_pem");

  const auto record = office.registry->find("cafe-one");
  CHECK(record->state == SiteState::probation);
  CHECK(record->instance_id == "i-1");
  CHECK(record->until_ms == office.clock.now_ms + 30 * 86'400'000LL);
  CHECK(*net::certificate_until_ms(certificate) == record->until_ms / 1000 * 1000);

  // Both ends of the door with what each has.
  const auto door = office.enrolment->door({"gw.test", "127.0.0.1"});
  REQUIRE(door);
  net::TlsServerOptions server_options;
  server_options.certificate_pem = door->certificate_pem;
  server_options.key_pem = door->key_pem;
  server_options.agent_ca_pem = office.enrolment->ca_pem();
  net::TlsClientOptions client_options;
  client_options.pin = content->ca_pin;
  client_options.alpn = {std::string(net::agent_alpn)};
  client_options.certificate_pem = certificate;
  client_options.key_pem = key;
  net::TlsSession server(net::TlsContext::server(server_options, why));
  net::TlsSession client(net::TlsContext::client(client_options, why), "gw.test");
  for (int i = 0; i < 10; ++i) {
    server.feed(std::string(client.output()));
    client.take(client.output().size());
    client.feed(std::string(server.output()));
    server.take(server.output().size());
  }
  REQUIRE(server.ready());
  REQUIRE(client.ready());
  const auto peer = server.peer();
  REQUIRE(peer);
  CHECK(peer->site == "cafe-one");
  CHECK(to_hex(peer->key) == record->key_sha256);
  CHECK(office.registry->admit(peer->site, peer->serial) == Admission::admitted);

  CHECK(office.registry->approve("cafe-one", office.clock.now_ms).empty());
  CHECK(office.registry->states().at("cafe-one") == SiteState::active);
}

TEST_CASE("a token works once, and what was burnt stays burnt over a restart") {
  Office office;
  const std::string token = office.invite();
  REQUIRE(office.enrol(token).status == 201);
  CHECK(office.enrol(token).status == 403);
  office.restart();
  const auto again = office.enrol(token);
  CHECK(again.status == 403);
  CHECK(says(again, "token_used"));
  CHECK(office.registry->find("cafe-one")->state == SiteState::probation);
}

TEST_CASE("the CA and the registry survive a restart") {
  Office office;
  const std::string token = office.invite();
  const auto pin = office.enrolment->ca_pin();
  office.restart();
  CHECK(office.enrolment->ca_pin() == pin);
  CHECK(office.enrol(token).status == 201);
}

TEST_CASE("tokens that are altered, foreign, expired or withdrawn are refused") {
  Office office;
  const std::string token = office.invite();
  SECTION("each altered character") {
    SeededRng rng(1);
    for (int i = 0; i < 100; ++i) {
      std::string altered = token;
      const auto at = static_cast<std::size_t>(rng.below(altered.size()));
      altered[at] = altered[at] == 'A' ? 'B' : 'A';
      if (altered == token) continue;
      const auto status = office.enrol(altered).status;
      CHECK((status == 400 || status == 403));
    }
  }
  SECTION("another site in a payload of our own making") {
    std::string payload = *from_base64url(token.substr(6, token.find('.', 6) - 6));
    payload.replace(payload.find("cafe-one"), 8, "cafe-two");
    const auto reply = office.enrol("trib1." + to_base64url(payload) + token.substr(token.rfind('.')));
    CHECK(reply.status == 403);
    CHECK(says(reply, "bad_token"));
  }
  SECTION("another gateway's") {
    Office other;
    CHECK(says(office.enrol(other.invite()), "bad_token"));
  }
  SECTION("expired") {
    office.clock.now_ms += 24 * 3'600'000 + 1000;
    CHECK(says(office.enrol(token), "token_expired"));
  }
  SECTION("withdrawn by a revocation") {
    CHECK(office.registry->revoke("cafe-one", "test").empty());
    CHECK(says(office.enrol(token), "token_used"));
  }
  CHECK(office.registry->find("cafe-one")->serial.empty());
}

TEST_CASE("requests that are not what they should be are refused and burn nothing") {
  Office office;
  const std::string token = office.invite();
  const std::string csr = *net::make_request_pem(net::make_key_pem(), "x");
  const auto status = [&](const std::string& body) {
    return office.enrolment->enrol(body, "10.1.0." + std::to_string(++office.addresses)).status;
  };
  CHECK(status("") == 400);
  CHECK(status("[]") == 400);
  CHECK(status("{\"token\":1}") == 400);
  CHECK(status("{\"token\":\"" + token + "\"}") == 400);
  CHECK(status(Office::body(token, "rubbish")) == 400);
  CHECK(status(Office::body(token, csr, "../../etc")) == 400);
  CHECK(status(Office::body("trib1.AAAA.BBBB", csr)) == 400);
  CHECK(status(Office::body("trib1..", csr)) == 400);
  CHECK(status("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}") == 400);
  SECTION("a request signed by another key than its own") {
    std::string broken = csr;  // one character of the signature, before the padding
    const auto at = broken.rfind("-----END") - 12;
    broken[at] = broken[at] == 'A' ? 'B' : 'A';
    CHECK(status(Office::body(token, broken)) == 400);
  }
  CHECK(status(Office::body(token, csr)) == 201);
}

TEST_CASE("five tries a minute for an address, others are not held up") {
  Office office;
  for (int i = 0; i < 5; ++i) CHECK(office.enrolment->enrol("{}", "10.9.9.9").status == 400);
  CHECK(office.enrolment->enrol("{}", "10.9.9.9").status == 429);
  CHECK(office.enrolment->enrol("{}", "10.9.9.8").status == 400);
  office.clock.now_ms += 60'000;
  CHECK(office.enrolment->enrol("{}", "10.9.9.9").status == 400);
}

TEST_CASE("a full disk changes nothing: the token still works later") {
  Office office;
  const std::string token = office.invite();
  office.disk.full(true);
  CHECK(office.enrol(token).status == 503);
  CHECK(office.registry->find("cafe-one")->state == SiteState::invited);
  CHECK_FALSE(office.registry->approve("cafe-one", 1).empty());
  office.disk.full(false);
  CHECK(office.enrol(token).status == 201);
}

TEST_CASE("a power cut at any moment of an enrolment: the token is whole or burnt, never answered and forgotten") {
  for (std::uint64_t operation = 1; operation <= 12; ++operation) {
    Office office;
    const std::string token = office.invite();
    office.disk.cut_power_at(office.disk.operations() + operation);
    const auto reply = office.enrol(token);
    const auto answered = reply.status == 201;
    office.disk.crash();
    office.restart();
    const auto record = office.registry->find("cafe-one");
    REQUIRE(record);
    if (answered) CHECK(record->check_words == reply.check_words);
    // Whatever was kept, the token opens the door at most once more.
    const bool burnt = !record->serial.empty();
    CHECK(office.enrol(token).status == (burnt ? 403 : 201));
  }
}

TEST_CASE("a second enrolment replaces the key and asks for approval again") {
  Office office;
  REQUIRE(office.enrol(office.invite()).status == 201);
  const auto first = *office.registry->find("cafe-one");
  REQUIRE(office.registry->approve("cafe-one", 1).empty());
  REQUIRE(office.enrol(office.invite()).status == 201);
  const auto second = *office.registry->find("cafe-one");
  CHECK(second.state == SiteState::probation);
  CHECK(second.serial != first.serial);
  CHECK(office.registry->admit("cafe-one", first.serial) == Admission::superseded);
  CHECK(office.registry->admit("cafe-one", second.serial) == Admission::admitted);

  SECTION("a suspension outlasts it") {
    CHECK(office.registry->suspend("cafe-one", "clone").empty());
    REQUIRE(office.enrol(office.invite()).status == 201);
    CHECK(office.registry->find("cafe-one")->state == SiteState::suspended);
    CHECK(office.registry->find("cafe-one")->reason == "clone");
  }
  SECTION("a revocation holds over a restart") {
    CHECK(office.registry->revoke("cafe-one", "sold").empty());
    office.restart();
    CHECK(office.registry->admit("cafe-one", second.serial) == Admission::revoked);
    CHECK_FALSE(office.registry->approve("cafe-one", 1).empty());
  }
}

TEST_CASE("a site is approved only after it enrolled") {
  Office office;
  CHECK_FALSE(office.registry->approve("nobody", 1).empty());
  office.invite();
  CHECK_FALSE(office.registry->approve("cafe-one", 1).empty());
  CHECK(office.registry->admit("cafe-one", "") == Admission::not_enrolled);
  CHECK(office.registry->admit("nobody", "") == Admission::unknown_site);
}

TEST_CASE("unusable files stop the start and say where") {
  Office office;
  std::string why;
  SECTION("the registry") {
    for (const char* text : {"", "{", "{\"version\":2}", "{\"version\":1,\"sites\":{\"a\":{\"state\":\"odd\"}}}", "{\"version\":1,\"new\":1}"}) {
      office.disk.replace("var/sites.json", text);
      SiteRegistry registry(office.disk, "var/sites.json");
      why.clear();
      CHECK_FALSE(registry.open(why));
      CHECK(why.find("var/sites.json: ") == 0);
    }
  }
  SECTION("a key of another CA") {
    Office other;
    office.disk.replace("var/ca/ca.key", other.disk.content("var/ca/ca.key"));
    CHECK_FALSE(Enrolment::open(office.disk, "var", *office.registry, office.clock, why));
    CHECK(why.find("do not belong together") != std::string::npos);
  }
}

TEST_CASE("check words are stable and spread") {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(check_words(sha256(std::to_string(i))));
  CHECK(seen.size() == 1000);
  CHECK(check_words(sha256("a key")) == check_words(sha256("a key")));
  std::string one = *seen.begin();
  CHECK(std::count(one.begin(), one.end(), ' ') == 3);
}

TEST_CASE("invites have bounds") {
  Office office;
  std::string why;
  InviteTerms terms;
  terms.site = "cafe-one";
  CHECK(office.enrolment->invite(terms, why).token.empty());
  terms.hosts = {"h:1"};
  terms.life_ms = 73 * 3'600'000LL;
  CHECK(office.enrolment->invite(terms, why).token.empty());
  terms.life_ms = 72 * 3'600'000LL;
  terms.site = "no/site";
  CHECK(office.enrolment->invite(terms, why).token.empty());
  terms.site = "cafe-one";
  CHECK_FALSE(office.enrolment->invite(terms, why).token.empty());
}
