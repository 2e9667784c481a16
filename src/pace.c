/* Records and time of busy batches are added up until they span a session, judged, and begun
 * anew. */
#include "pace.h"

#include <assert.h>

enum { BUSY_MS_MIN = 1000 };

bool pace_batch(struct pace *pace, int64_t records, int64_t processing_ms, int64_t most,
                int64_t session_ms, double *rate_out)
{
    double rate;

    assert(records >= 0 && most > 0 && session_ms > 0);
    if (pace->told || records == 0) { /* none: only aborted or compacted ones were there */
        return false;
    }
    if (processing_ms < BUSY_MS_MIN) {
        pace->records = pace->ms = 0;
        return false;
    }
    pace->records += records;
    pace->ms += processing_ms;
    if (pace->ms < session_ms) {
        return false;
    }
    rate = (double)pace->records * 1000 / (double)pace->ms;
    pace->records = pace->ms = 0;
    if (rate * (double)session_ms > (double)most * 1000) {
        return false;
    }
    pace->told = true;
    *rate_out = rate;
    return true;
}
