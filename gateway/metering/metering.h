// Metering: what a request used, and the write-ahead journal that makes it durable before the
// customer sees the last byte. The journal is the only way by which money reaches the ledger.
#pragma once
#include "gateway/metering/journal.h"
#include "gateway/metering/records.h"
#include "gateway/metering/trim.h"
