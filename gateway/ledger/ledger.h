// The ledger: dated prices and contracts, rating, splitting, and the poster that turns released
// FINALs of the journal into rows, one database transaction a batch.
#pragma once
#include "gateway/ledger/accounts.h"
#include "gateway/ledger/backup.h"
#include "gateway/ledger/book.h"
#include "gateway/ledger/checkpoint_book.h"
#include "gateway/ledger/contract_terms.h"
#include "gateway/ledger/copy.h"
#include "gateway/ledger/documents.h"
#include "gateway/ledger/market.h"
#include "gateway/ledger/proof.h"
#include "gateway/ledger/rating.h"
#include "gateway/ledger/receipt.h"
#include "gateway/ledger/receipt_check.h"
#include "gateway/ledger/receipt_intake.h"
#include "gateway/ledger/schema.h"
#include "gateway/ledger/store.h"
#include "gateway/ledger/verify.h"
