/* route_test.c: which routes there are, for every combination of facts, and which is taken at which costs. */
#include "buffer/route.h"

#include "buffer/cost.h"
#include "test.h"

#define KIB (1ull << 10)
#define MIB (1ull << 20)

#define BIT(name) DCMI_ROUTE_BIT(DCMI_ROUTE_##name)
#define FACTS     11u

/* The facts that are yes or no, as the bits of a number. */
static dcmi_route_facts
facts_of(unsigned bits, uint64_t bytes)
{
    return (dcmi_route_facts){
        .bytes = bytes,
        .is_same = bits & 1,
        .is_one_device = bits & 2,
        .to_touch = bits & 4,
        .from_touch = bits & 8,
        .to_map = bits & 16,
        .from_map = bits & 32,
        .is_host_s = bits & 64,
        .is_lent = bits & 128,
        .has_queues = bits & 256,
        .is_peer = bits & 512,
        .is_far = bits & 1024,
        .has_threads = true,
    };
}

static void
each_facts(void (*check)(const dcmi_route_facts *facts, unsigned possible))
{
    static const uint64_t sizes[] = {1, 8 * KIB - 1, 8 * KIB, 64 * KIB, MIB, 8 * MIB, 1ull << 40};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (unsigned bits = 0; bits < 1u << FACTS; bits++) {
            dcmi_route_facts facts = facts_of(bits, sizes[i]);
            check(&facts, dcmi_route_possible(&facts));
        }
}

static void
check_plain_way(const dcmi_route_facts *facts, unsigned possible)
{
    const unsigned plain = BIT(same) | BIT(driver) | BIT(staged);
    EXPECT(possible & plain);
    EXPECT_EQ((possible & BIT(same)) != 0, facts->is_same);
    if (facts->is_same)
        EXPECT_EQ(possible, BIT(same));
    else if (facts->is_one_device || facts->to_touch || facts->from_touch)
        EXPECT(possible & BIT(driver));
    else
        EXPECT((possible & BIT(staged)) && !(possible & BIT(driver)));
}

TEST(route__there_always_is_one_that_needs_nothing_but_the_required_group)
{
    each_facts(check_plain_way);
}

static void
check_small(const dcmi_route_facts *facts, unsigned possible)
{
    const unsigned by_host = BIT(mapped) | BIT(streamed) | BIT(wide);
    if (facts->bytes < DCMI_ROUTE_LEAST)
        EXPECT(!(possible & BIT(queued)));
    if (facts->bytes < DCMI_ROUTE_LEAST_MAP)
        EXPECT(!(possible & by_host));
    if (facts->bytes < DCMI_ROUTE_LEAST_STREAM)
        EXPECT(!(possible & BIT(streamed)));
    if (facts->bytes < DCMI_ROUTE_LEAST_WIDE)
        EXPECT(!(possible & BIT(wide)));
}

TEST(route__small_copies_have_no_choice)
{
    each_facts(check_small);
}

static void
check_order(const dcmi_route_facts *facts, unsigned possible)
{
    if (facts->is_lent)
        EXPECT(!(possible & ~(BIT(same) | BIT(driver) | BIT(staged) | BIT(peer))));
    if (facts->is_lent && (possible & BIT(driver)))
        EXPECT_EQ(possible, BIT(driver));
}

TEST(route__on_a_caller_s_queue_copies_stay_in_its_order)
{
    each_facts(check_order);
}

static void
check_host(const dcmi_route_facts *facts, unsigned possible)
{
    bool is_seen = (facts->to_touch || facts->to_map) && (facts->from_touch || facts->from_map);
    if (!is_seen)
        EXPECT(!(possible & (BIT(mapped) | BIT(streamed) | BIT(wide))));
    if (facts->to_touch && facts->from_touch)
        EXPECT(!(possible & (BIT(mapped) | BIT(queued) | BIT(staged))));
    if (possible & BIT(peer))
        EXPECT(facts->is_peer && !facts->is_one_device);
    if ((possible & BIT(queued)))
        EXPECT(facts->has_queues);
}

TEST(route__needs_what_it_needs)
{
    each_facts(check_host);
}

TEST(route__a_device_s_copies_within_itself_are_its_own)
{
    for (unsigned bits = 0; bits < 1u << FACTS; bits++) {
        dcmi_route_facts facts = facts_of((bits | 2) & ~(1u | 4u | 8u), 512 * MIB);
        EXPECT_EQ(dcmi_route_possible(&facts), BIT(driver));
    }
}

TEST(route__is_the_driver_that_can_reach_both_ends_and_a_detour_only_where_none_can)
{
    char a, b;
    static const struct {
        int to, to_touch, from, from_touch; /* device 0: the host's own memory */
        dcmi_driver wanted;
    } cases[] = {
        {1, 0, 1, 0, DCMI_DRIVER_OF_TO},   /* within a device */
        {1, 1, 1, 1, DCMI_DRIVER_OF_TO},   /* within a unified one */
        {1, 0, 0, 1, DCMI_DRIVER_OF_TO},   /* in from the caller's memory */
        {0, 1, 1, 0, DCMI_DRIVER_OF_FROM}, /* out to the caller's memory */
        {1, 0, 2, 1, DCMI_DRIVER_OF_TO},   /* from memory that the host can touch */
        {1, 1, 2, 1, DCMI_DRIVER_OF_TO},   /* between two unified devices */
        {1, 1, 2, 0, DCMI_DRIVER_OF_FROM}, /* to memory that the host can touch */
        {1, 0, 2, 0, DCMI_DRIVER_NONE},    /* between two memories that only their own drivers know */
    };
    const void *devices[] = {NULL, &a, &b};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        EXPECT_EQ(
            dcmi_route_driver(devices[cases[i].to], cases[i].to_touch, devices[cases[i].from], cases[i].from_touch),
            cases[i].wanted);
}

/* ---- The cheapest ---- */

static dcmi_route_cost
tried(uint32_t ns_per_mib)
{
    return (dcmi_route_cost){ns_per_mib, DCMI_COST_TRIES_LARGE};
}

TEST(route__each_possible_one_is_tried_before_any_is_chosen)
{
    dcmi_route_cost costs[DCMI_ROUTE_COUNT] = {{0}};
    const unsigned possible = BIT(driver) | BIT(mapped) | BIT(staged);
    const dcmi_route order[] = {DCMI_ROUTE_driver, DCMI_ROUTE_mapped, DCMI_ROUTE_staged};
    for (size_t i = 0; i < 3; i++)
        for (unsigned try = 0; try < DCMI_COST_TRIES_LARGE; try++) {
            dcmi_choice choice = dcmi_route_choose(costs, possible, DCMI_COST_TRIES_LARGE);
            EXPECT(choice.is_trial);
            EXPECT_EQ(choice.route, order[i]);
            costs[choice.route] = (dcmi_route_cost){100, try + 1};
        }
    EXPECT(!dcmi_route_choose(costs, possible, DCMI_COST_TRIES_LARGE).is_trial);
}

TEST(route__the_more_tries_one_has_had_the_less_it_may_be_behind_to_have_another)
{
    static const struct {
        uint32_t ns, tries;
        bool is_tried;
    } cases[] = {{9000, 1, true},  {1500, 2, true}, {1501, 2, false}, {1500, 3, true},
                 {1501, 3, false}, {1125, 4, true}, {1126, 4, false}, {1126, 5, false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dcmi_route_cost costs[DCMI_ROUTE_COUNT] = {
            [DCMI_ROUTE_driver] = tried(1000), [DCMI_ROUTE_queued] = {cases[i].ns, cases[i].tries}};
        dcmi_choice choice = dcmi_route_choose(costs, BIT(driver) | BIT(queued), DCMI_COST_TRIES_LARGE);
        EXPECT_EQ(choice.is_trial, cases[i].is_tried);
        EXPECT_EQ(choice.route, cases[i].is_tried ? DCMI_ROUTE_queued : DCMI_ROUTE_driver);
    }
}

TEST(route__the_cheapest_is_taken_and_of_two_that_cost_the_same_the_plainer)
{
    dcmi_route_cost costs[DCMI_ROUTE_COUNT] = {[DCMI_ROUTE_driver] = tried(6400),
                                               [DCMI_ROUTE_queued] = tried(6201), /* not by a thirty-second */
                                               [DCMI_ROUTE_mapped] = tried(9000)};
    const unsigned possible = BIT(driver) | BIT(queued) | BIT(mapped);
    EXPECT_EQ(dcmi_route_choose(costs, possible, DCMI_COST_TRIES_LARGE).route, DCMI_ROUTE_driver);
    costs[DCMI_ROUTE_queued] = tried(6199);
    EXPECT_EQ(dcmi_route_choose(costs, possible, DCMI_COST_TRIES_LARGE).route, DCMI_ROUTE_queued);
    EXPECT_EQ(dcmi_route_choose(costs, BIT(mapped), DCMI_COST_TRIES_LARGE).route, DCMI_ROUTE_mapped);
    EXPECT(!dcmi_route_choose(costs, possible, DCMI_COST_TRIES_LARGE).is_trial);
}

TEST(route__the_only_one_is_never_measured)
{
    dcmi_route_cost costs[DCMI_ROUTE_COUNT] = {{0}};
    dcmi_choice choice = dcmi_route_choose(costs, BIT(driver), DCMI_COST_TRIES_LARGE);
    EXPECT(!choice.is_trial);
    EXPECT_EQ(choice.route, DCMI_ROUTE_driver);
}

/* ---- Costs by size ---- */

TEST(cost__octaves_begin_where_there_is_a_choice)
{
    EXPECT_EQ(dcmi_cost_index(0), 0);
    EXPECT_EQ(dcmi_cost_index(DCMI_ROUTE_LEAST), 0);
    EXPECT_EQ(dcmi_cost_index(2 * DCMI_ROUTE_LEAST - 1), 0);
    EXPECT_EQ(dcmi_cost_index(2 * DCMI_ROUTE_LEAST), 1);
    EXPECT_EQ(dcmi_cost_index(512 * MIB), 16);
    EXPECT_EQ(dcmi_cost_index(UINT64_MAX), DCMI_COST_SIZES - 1);
}

/* Copies of `bytes`, each of which costs what `ns_of` its route says; how many went the route. */
static unsigned
run(dcmi_costs *costs, uint64_t bytes, unsigned possible, const uint64_t ns_of[DCMI_ROUTE_COUNT], unsigned count,
    dcmi_route route)
{
    unsigned went = 0;
    for (unsigned i = 0; i < count; i++) {
        dcmi_choice choice = dcmi_cost_choose(costs, bytes, possible);
        if (choice.is_trial)
            dcmi_cost_learn(costs, bytes, choice.route, bytes, ns_of[choice.route]);
        went += choice.route == route;
    }
    return went;
}

TEST(cost__the_best_route_of_each_size_is_learnt_within_a_few_copies_and_kept)
{
    static dcmi_costs costs;
    const unsigned possible = BIT(driver) | BIT(queued) | BIT(streamed);
    const uint64_t small[DCMI_ROUTE_COUNT] = {
        [DCMI_ROUTE_driver] = 20000, [DCMI_ROUTE_queued] = 18000, [DCMI_ROUTE_streamed] = 48000};
    const uint64_t large[DCMI_ROUTE_COUNT] = {
        [DCMI_ROUTE_driver] = 7000000, [DCMI_ROUTE_queued] = 7000000, [DCMI_ROUTE_streamed] = 4300000};
    (void)run(&costs, 64 * KIB, possible, small, 2 * DCMI_COST_TRIES_SMALL + DCMI_ROUTE_TRIES_FEW, DCMI_ROUTE_driver);
    (void)run(&costs, 64 * MIB, possible, large, 3 * DCMI_COST_TRIES_LARGE, DCMI_ROUTE_driver);
    EXPECT_EQ(run(&costs, 64 * KIB, possible, small, 20, DCMI_ROUTE_queued), 20);
    EXPECT_EQ(run(&costs, 64 * MIB, possible, large, 15, DCMI_ROUTE_streamed), 15);
    /* Early and rarely all are tried anew, and still nearly every copy goes the best way. */
    EXPECT_GE(run(&costs, 64 * KIB, possible, small, 10000, DCMI_ROUTE_queued), 9800);
    EXPECT_LE(run(&costs, 64 * KIB, possible, small, 10000, DCMI_ROUTE_queued), 9999);
}

TEST(cost__is_due_early_and_rarely_and_more_often_where_parts_are_tried)
{
    static const uint32_t due[] = {32, 256, 1024, 2048};
    unsigned count = 0;
    for (uint32_t uses = 1; uses <= 2048; uses++)
        count += dcmi_cost_is_due(MIB, uses);
    EXPECT_EQ(count, 4);
    for (size_t i = 0; i < 4; i++)
        EXPECT(dcmi_cost_is_due(DCMI_COST_LARGE_BYTES - 1, due[i]));
    EXPECT(dcmi_cost_is_due(DCMI_COST_LARGE_BYTES, 64));
    EXPECT(!dcmi_cost_is_due(DCMI_COST_LARGE_BYTES, 65));
}

TEST(cost__a_machine_that_has_changed_is_noticed)
{
    static dcmi_costs costs;
    const unsigned possible = BIT(driver) | BIT(mapped);
    const uint64_t before[DCMI_ROUTE_COUNT] = {[DCMI_ROUTE_driver] = 20000, [DCMI_ROUTE_mapped] = 15000};
    const uint64_t after[DCMI_ROUTE_COUNT] = {[DCMI_ROUTE_driver] = 20000, [DCMI_ROUTE_mapped] = 30000};
    (void)run(&costs, MIB, possible, before, 100, DCMI_ROUTE_mapped);
    EXPECT_EQ(run(&costs, MIB, possible, before, 10, DCMI_ROUTE_mapped), 10);
    (void)run(&costs, MIB, possible, after, DCMI_COST_RARE, DCMI_ROUTE_mapped);
    EXPECT_EQ(run(&costs, MIB, possible, after, 10, DCMI_ROUTE_driver), 10);
}

TEST(cost__where_the_driver_s_copy_is_the_cheapest_most_are_not_looked_at)
{
    static dcmi_costs costs;
    const unsigned possible = BIT(driver) | BIT(queued);
    const uint64_t ns[DCMI_ROUTE_COUNT] = {[DCMI_ROUTE_driver] = 1000, [DCMI_ROUTE_queued] = 30000};
    EXPECT(!dcmi_cost_skip(&costs, 8 * KIB));
    (void)run(&costs, 8 * KIB, possible, ns, DCMI_COST_TRIES_SMALL + DCMI_ROUTE_TRIES_FEW, DCMI_ROUTE_driver);
    unsigned looked = 0;
    for (unsigned i = 0; i < 20 * (DCMI_COST_SKIPS + 1); i++)
        if (!dcmi_cost_skip(&costs, 8 * KIB))
            looked += run(&costs, 8 * KIB, possible, ns, 1, DCMI_ROUTE_driver);
    EXPECT_EQ(looked, 20);
    EXPECT(!dcmi_cost_skip(&costs, 16 * KIB));
}

TEST(cost__is_the_mean_of_the_tries_but_for_the_worst)
{
    EXPECT_EQ(dcmi_cost_of(0, 0, 0).ns_per_mib, 0);
    EXPECT_EQ(dcmi_cost_of(700, 700, 1).ns_per_mib, 700);
    EXPECT_EQ(dcmi_cost_of(1600, 900, 2).ns_per_mib, 700);
    EXPECT_EQ(dcmi_cost_of(2100, 900, 3).ns_per_mib, 600);
    EXPECT_EQ(dcmi_cost_of(0, 0, 2).ns_per_mib, 1); /* known, that is */
    EXPECT_EQ(dcmi_cost_of(5, 9, 2).ns_per_mib, 1); /* between the stores of another thread */
    EXPECT_EQ(dcmi_cost_of(UINT64_MAX, 9, 2).ns_per_mib, UINT32_MAX);
    EXPECT_EQ(dcmi_cost_of(2100, 900, 3).tries, 3);
}

static dcmi_route_cost
known(const dcmi_costs *costs, dcmi_route route)
{
    const dcmi_cost_size *size = &costs->sizes[dcmi_cost_index(MIB)];
    return dcmi_cost_of(size->routes[route].sum, size->routes[route].worst, size->routes[route].tries);
}

TEST(cost__is_learnt_by_the_MiB_and_none_is_too_dear_to_note)
{
    static dcmi_costs costs;
    dcmi_cost_learn(&costs, MIB, DCMI_ROUTE_driver, MIB, 5000000);
    dcmi_cost_learn(&costs, MIB, DCMI_ROUTE_driver, MIB, 1000000);
    dcmi_cost_learn(&costs, MIB, DCMI_ROUTE_driver, MIB / 2, 9000000);
    EXPECT_EQ(known(&costs, DCMI_ROUTE_driver).ns_per_mib, 3000000);
    EXPECT_EQ(known(&costs, DCMI_ROUTE_driver).tries, 3);
    dcmi_cost_learn(&costs, MIB, DCMI_ROUTE_mapped, 1, UINT64_MAX / MIB);
    EXPECT_EQ(known(&costs, DCMI_ROUTE_mapped).ns_per_mib, UINT32_MAX);
    dcmi_cost_learn(&costs, MIB, DCMI_ROUTE_staged, MIB, 0);
    EXPECT_EQ(known(&costs, DCMI_ROUTE_staged).ns_per_mib, 1);
}
