#include "gateway/tenancy/tenancy.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::tenancy;

namespace {

config::TenantConfig tenant(const std::string& id, std::vector<std::string> keys) {
  config::TenantConfig out;
  out.id = id;
  for (const std::string& key : keys) out.keys.push_back(sha256(key));
  return out;
}

}  // namespace

TEST_CASE("a key finds its tenant and no other does") {
  const auto book =
      TenantBook::make({tenant("acme", {"k1", "k2"}), tenant("beta", {"k3"})}, nullptr);
  REQUIRE(book->find(sha256("k2")));
  CHECK(book->find(sha256("k2"))->id() == "acme");
  CHECK(book->find(sha256("k3"))->id() == "beta");
  CHECK_FALSE(book->find(sha256("k4")));
  CHECK(book->tenant("beta"));
  CHECK_FALSE(book->tenant("gamma"));
  CHECK(book->all().size() == 2);
}

TEST_CASE("digests that begin alike are told apart by the rest") {
  config::TenantConfig a = tenant("a", {"x"}), b = tenant("b", {"x"});
  b.keys[0][31] ^= 1;
  const auto book = TenantBook::make({a, b}, nullptr);
  CHECK(book->find(a.keys[0])->id() == "a");
  CHECK(book->find(b.keys[0])->id() == "b");
  Sha256 neither = a.keys[0];
  neither[20] ^= 1;
  CHECK_FALSE(book->find(neither));
}

TEST_CASE("a reload keeps balances and what is in flight, and takes new keys and policies") {
  const auto before = TenantBook::make({tenant("acme", {"old"})}, nullptr);
  const auto live = before->tenant("acme");
  live->set_balance(money::Amount::pico(100));
  REQUIRE(live->admit(0, 0, money::Amount::pico(40)).refused == Refused::none);

  config::TenantConfig changed = tenant("acme", {"new"});
  changed.privacy = config::Privacy::any;
  changed.limits = {1, 2, 3};
  changed.balance = money::Amount::pico(999);  // posted once by the ledger, never by the book
  const auto after = TenantBook::make({changed, tenant("beta", {})}, before.get());
  CHECK(after->tenant("acme") == live);
  CHECK_FALSE(after->find(sha256("old")));
  CHECK(after->find(sha256("new")) == live);
  const Tenant::View view = live->view();
  CHECK(view.balance == money::Amount::pico(100));
  CHECK(view.held == money::Amount::pico(40));
  CHECK(view.in_flight == 1);
  CHECK(view.privacy == config::Privacy::any);
  CHECK(view.limits.in_flight == 3);
  CHECK(after->tenant("beta")->view().balance.zero());
  CHECK(before->find(sha256("old")) == live);  // the old book still answers those who hold it
}

TEST_CASE("priority and hedging are the configuration's, by default none, and change with a reload") {
  config::TenantConfig plain = tenant("acme", {"k"}), wishes = plain;
  wishes.hedge_after_ms = 800;
  wishes.priority = config::Priority::high;
  const auto before = TenantBook::make({plain}, nullptr);
  const auto live = before->tenant("acme");
  CHECK(live->hedge_after_ms() == 0);
  CHECK((live->priority() == config::Priority::normal));
  const auto after = TenantBook::make({wishes}, before.get());
  CHECK(after->tenant("acme") == live);
  CHECK(live->hedge_after_ms() == 800);
  CHECK((live->priority() == config::Priority::high));
}
