#include "gateway/tenancy/tenancy.h"
#include "tests/catch.h"

using namespace trib;
using namespace trib::tenancy;

namespace {

config::TenantConfig tenant(const std::string& id, std::vector<std::string> keys) {
  config::TenantConfig out;
  out.id = id;
  for (const std::string& key : keys) out.keys.emplace_back(sha256(key));
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
  b.keys[0].sha256[31] ^= 1;
  const auto book = TenantBook::make({a, b}, nullptr);
  CHECK(book->find(a.keys[0].sha256)->id() == "a");
  CHECK(book->find(b.keys[0].sha256)->id() == "b");
  Sha256 neither = a.keys[0].sha256;
  neither[20] ^= 1;
  CHECK_FALSE(book->find(neither));
}

TEST_CASE("a reload keeps balances and what is in flight, and takes new keys and policies") {
  const auto before = TenantBook::make({tenant("acme", {"old"})}, nullptr);
  const auto live = before->tenant("acme");
  live->set_balance(money::Amount::pico(100));
  auto admission = live->admit({.hold = money::Amount::pico(40)});
  REQUIRE(admission.refused == Refused::none);

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

TEST_CASE("a tenant that leaves and comes back finds its balance, its holds and what it spent") {
  const auto first = TenantBook::make({tenant("acme", {"k"})}, nullptr);
  const auto live = first->tenant("acme");
  live->set_balance(money::Amount::pico(100));
  auto admission = live->admit({.hold = money::Amount::pico(40)});
  const auto without = TenantBook::make({tenant("beta", {})}, first.get());
  CHECK(without->tenant("acme") == nullptr);
  CHECK_FALSE(without->find(sha256("k")));
  CHECK(without->ever("acme") == live);
  CHECK(without->known().size() == 2);
  const auto still = TenantBook::make({tenant("beta", {})}, without.get());
  admission.hold.settle({.charge = money::Amount::pico(30)});
  const auto back = TenantBook::make({tenant("acme", {"k"})}, still.get());
  CHECK(back->find(sha256("k")) == live);
  CHECK(live->view().balance == money::Amount::pico(70));
  CHECK(live->view().held.zero());
}
