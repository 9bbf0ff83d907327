#include "check.h"
#include "../lib/handoff.h"

#define SECOND 1000000000ULL

static __noinline int put(__u64 cookie, __u32 service, __u64 start_ns)
{
    struct mesh_flow flow = {.service = service, .start_ns = start_ns, .socket_cookie = cookie};
    return mesh_handoff_put(cookie, &flow) == 0;
}

/* The service of the flow that waited, 0: none did. */
static __noinline __u32 take(__u64 cookie)
{
    struct mesh_flow flow;
    return mesh_handoff_take(cookie, &flow) ? flow.service : 0;
}

CHECK(check_put_and_take)
{
    EXPECT(take(5) == 0);
    EXPECT(put(5, 50, SECOND));
    EXPECT(take(6) == 0 && take(5 + MESH_HANDOFF_SLOTS) == 0);
    EXPECT(take(5) == 50);
    EXPECT(take(5) == 0);
    /* A second connect() of one socket. */
    EXPECT(put(5, 51, SECOND) && put(5, 52, SECOND));
    EXPECT(take(5) == 52 && take(5) == 0);
    return 0;
}

CHECK(check_two_of_one_slot)
{
    EXPECT(put(7, 70, SECOND) && put(7 + MESH_HANDOFF_SLOTS, 71, SECOND) && put(7 + 2 * MESH_HANDOFF_SLOTS, 72, 0));
    EXPECT(take(7 + MESH_HANDOFF_SLOTS) == 71);
    EXPECT(take(7) == 70);
    EXPECT(take(7 + 2 * MESH_HANDOFF_SLOTS) == 72);
    EXPECT(take(7) == 0 && take(7 + MESH_HANDOFF_SLOTS) == 0 && take(7 + 2 * MESH_HANDOFF_SLOTS) == 0);
    /* Free again. */
    EXPECT(put(7 + MESH_HANDOFF_SLOTS, 73, SECOND) && take(7 + MESH_HANDOFF_SLOTS) == 73);
    return 0;
}

CHECK(check_a_slot_that_nobody_took)
{
    EXPECT(put(9, 90, SECOND));
    EXPECT(put(9 + MESH_HANDOFF_SLOTS, 91, 61 * SECOND));
    EXPECT(take(9) == 90);
    EXPECT(take(9 + MESH_HANDOFF_SLOTS) == 91);
    EXPECT(put(9, 92, SECOND));
    EXPECT(put(9 + MESH_HANDOFF_SLOTS, 93, 62 * SECOND));
    EXPECT(take(9) == 0);
    EXPECT(take(9 + MESH_HANDOFF_SLOTS) == 93);
    return 0;
}
