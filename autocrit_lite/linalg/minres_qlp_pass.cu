/* One pass of MINRES-QLP on dense matrices, a block of threads for each system, to its end.
 *
 * The text of a pass in minres_qlp.py, where every formula is explained, for M = I and one system at
 * a time. A GPU spends 20 to 30 microseconds on starting one kernel, and that file starts about 180
 * in an iteration; this one starts once in a pass.
 *
 * It is also C: a C compiler makes it a function with one thread for each system, which the tests
 * compare with the Python text.
 */
#ifdef __CUDACC__
#define EACH(i, n) (int i = threadIdx.x; i < (n); i += blockDim.x)
#define BARRIER() __syncthreads()
#define DEVICE __device__ static
#define WARP 32
#else
#include <math.h>
#define EACH(i, n) (int i = 0; i < (n); i++)
#define BARRIER()
#define DEVICE static
#endif

#define TINY 2.2250738585072014e-308
#define INFINITE (1e308 * 1e308)
#define IS_FINITE(x) ((x) - (x) == 0.0)
#define EPS 2.220446049250313e-16
#define SINGULAR_COND 1e12
#define KEEP_BASIS_UP_TO 256
/* like NumPy's, these hand NaN on */
#define MAXIMUM(a, b) ((a) >= (b) || (a) != (a) ? (a) : (b))
#define MINIMUM(a, b) ((a) <= (b) || (a) != (a) ? (a) : (b))

/* StopReason */
enum { RUNNING, RESIDUAL, LEAST_SQUARES, MAXIT = 5, MAXXNORM, ACONDLIM, NON_FINITE = 9 };
/* rows of task and of outcome: the fields of Task but dual, and those of Outcome after x */
enum { RTOL, GOAL, COKERNEL_RTOL, LONGEST, BUDGET, B_NORM, X0_NORM, A_NORM };
enum { CODE, ITERATIONS, QLP_ITERATIONS, OUT_A_NORM, OUT_A_COND, OUT_X_NORM };

typedef struct {
    double beta, c, s, delta_bar, epsilon, phi, gamma5, theta, gamma4, nu, zeta, final2;
    double A_norm, A_cond, gamma_min, first;
} State;

typedef struct {
    double cokernel, x_norm, x_norm_short, delta, epsilon, gamma, tau, c1, s1, c2, s2, mu2, mu1, mu;
} Step;

typedef struct {
    double w1, w, x;
} Vectors;

DEVICE State advance(int k, State S, double alpha, double beta_next, Step *t) {
    State N = S;
    /* left reflections k - 1 and k */
    double delta = S.c * S.delta_bar + S.s * alpha;
    double gamma_bar = S.s * S.delta_bar - S.c * alpha;
    N.epsilon = S.s * beta_next;
    N.delta_bar = -S.c * beta_next;
    t->cokernel = hypot(gamma_bar, N.delta_bar);
    double gamma = hypot(gamma_bar, beta_next), safe = MAXIMUM(gamma, TINY);
    N.c = gamma_bar / safe;
    N.s = beta_next / safe;
    t->tau = N.c * S.phi;
    N.phi = N.s * S.phi;
    /* right reflections P_{k-2,k} and P_{k-1,k} */
    double gamma6 = hypot(S.gamma5, S.epsilon);
    t->c1 = S.gamma5 / gamma6;
    t->s1 = S.epsilon / gamma6;
    double theta1 = t->c1 * S.theta + t->s1 * delta, delta1 = t->s1 * S.theta - t->c1 * delta;
    double eta = t->s1 * gamma, gamma1 = -t->c1 * gamma;
    N.gamma5 = hypot(S.gamma4, delta1);
    t->c2 = S.gamma4 / N.gamma5;
    t->s2 = delta1 / N.gamma5;
    N.theta = t->s2 * gamma1;
    N.gamma4 = -t->c2 * gamma1;
    /* rows k - 2, k - 1 and k of L u = t */
    t->mu2 = S.nu / gamma6;
    N.nu = S.zeta - theta1 * t->mu2;
    t->mu1 = N.nu / N.gamma5;
    N.zeta = t->tau - eta * t->mu2;
    t->mu = (N.zeta - N.theta * t->mu1) / N.gamma4;
    N.final2 = S.final2 + t->mu2 * t->mu2;
    double short2 = N.final2 + t->mu1 * t->mu1;
    t->x_norm = sqrt(short2 + t->mu * t->mu);
    t->x_norm_short = sqrt(short2);
    t->delta = delta;
    t->epsilon = S.epsilon;
    t->gamma = gamma;
    /* bounds of the largest and the smallest singular value */
    double column = sqrt(S.beta * S.beta + alpha * alpha + beta_next * beta_next);
    N.A_norm = MAXIMUM(S.A_norm, column);
    if (k > 2) N.gamma_min = MINIMUM(S.gamma_min, gamma6);
    double size = fabs(N.gamma4), smallest = MINIMUM(N.gamma_min, size);
    if (k > 1) smallest = MINIMUM(smallest, N.gamma5);
    double cond = N.A_norm / smallest;
    N.A_cond = MAXIMUM(S.A_cond, cond);
    N.beta = beta_next;
    if (k == 1) N.first = column;
    return N;
}

DEVICE Vectors minres_update(Step t, Vectors Y, double v) {
    double d = (v - t.delta * Y.w - t.epsilon * Y.w1) * (1.0 / t.gamma);
    Vectors new_Y = {Y.w, d, Y.x + t.tau * d};
    return new_Y;
}

DEVICE Vectors qlp_update(Step t, Vectors Y, double v) {
    double w2 = t.c1 * Y.w1 + t.s1 * v, v1 = t.s1 * Y.w1 - t.c1 * v;
    Vectors new_Y = {t.c2 * Y.w + t.s2 * v1, t.s2 * Y.w - t.c2 * v1, Y.x + t.mu2 * w2};
    return new_Y;
}

/* x of the QLP phase after the iteration of S, less its final part */
DEVICE double last_part(State S, double w1, double w) {
    double mu1 = S.nu / S.gamma5;
    return mu1 * w1 + (S.zeta - S.theta * mu1) / S.gamma4 * w;
}

DEVICE Vectors transfer(State S, Vectors Y) {
    double w1 = S.gamma5 * Y.w1 + S.theta * Y.w, w = S.gamma4 * Y.w;
    Vectors new_Y = {w1, w, Y.x - last_part(S, w1, w)};
    return new_Y;
}

DEVICE Vectors update(State S, Step t, Vectors Y, double v, int was_qlp, int qlp) {
    if (!qlp) return minres_update(t, Y, v);
    return qlp_update(t, was_qlp ? Y : transfer(S, Y), v);
}

DEVICE double solution(State S, Step t, Vectors Y, double v, int was_qlp, int is_short, int before) {
    if (before) return was_qlp ? Y.x + last_part(S, Y.w1, Y.w) : Y.x;
    int qlp = was_qlp || is_short;
    Vectors Z = update(S, t, Y, v, was_qlp, qlp);
    if (!qlp) return Z.x;
    return is_short ? Z.x + t.mu1 * Z.w1 : Z.x + t.mu1 * Z.w1 + t.mu * Z.w;
}

/* the sum of a number of each thread, for all of them; cells has room for 33 */
DEVICE double total(double x, double *cells) {
#ifdef __CUDACC__
    for (int step = WARP / 2; step; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
    if (threadIdx.x % WARP == 0) cells[threadIdx.x / WARP] = x;
    BARRIER();
    if (threadIdx.x < WARP) {
        x = threadIdx.x < blockDim.x / WARP ? cells[threadIdx.x] : 0.0;
        for (int step = WARP / 2; step; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
        if (threadIdx.x == 0) cells[WARP] = x;
    }
    BARRIER();
    x = cells[WARP];
    BARRIER();
#else
    (void)cells;
#endif
    return x;
}

/* p = (A - shift) v, a row for each warp */
DEVICE void product(const double *A, double shift, const double *v, double *p, int n) {
#ifdef __CUDACC__
    int lane = threadIdx.x % WARP, warps = blockDim.x / WARP;
    for (int row = threadIdx.x / WARP; row < n; row += warps) {
        const double *a = A + (long long)row * n;
        double sum = 0.0;
#pragma unroll 8
        for (int j = lane; j < n; j += WARP) sum += a[j] * v[j];
        for (int step = WARP / 2; step; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        if (lane == 0) p[row] = sum - shift * v[row];
    }
#else
    for (int row = 0; row < n; row++) {
        double sum = 0.0;
        for (int j = 0; j < n; j++) sum += A[(long long)row * n + j] * v[j];
        p[row] = sum - shift * v[row];
    }
#endif
    BARRIER();
}

/* of one system: A (n, n), b (n,), task (8, B) and outcome (6, B) at its column, memory (6 n + 33) */
DEVICE void run_pass(const double *A, double shift, const double *b, const double *task, int n, int B,
                     double acondlim, double trancond, int first_pass, double *x, double *outcome,
                     double *memory) {
#define TASK(field) task[(long long)(field) * B]
#define OUTCOME(field) outcome[(long long)(field) * B]
    double *u_prev = memory, *u = u_prev + n, *p = u + n, *w1 = p + n, *w = w1 + n, *y = w + n;
    double *cells = y + n, singular_rtol = 2.0 * sqrt(4.0 * EPS * sqrt((double)n));
    double sum = 0.0;
    for EACH (i, n) sum += b[i] * b[i];
    double square = total(sum, cells), phi = sqrt(square);
    for EACH (i, n) {
        u[i] = b[i] * (1.0 / MAXIMUM(phi, TINY));
        u_prev[i] = w1[i] = w[i] = y[i] = x[i] = 0.0;
    }
    BARRIER();
    State S = {0.0, -1.0, 0.0, 0.0, 0.0, phi, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, TASK(A_NORM), 1.0, INFINITE, 0.0};
    int noted = 0, was_qlp = 1.0 >= trancond, qlp_iterations = 0;
    double noted_phi = 0.0;
    double code = !IS_FINITE(square) ? NON_FINITE : square == 0.0 ? RESIDUAL : RUNNING;
    if (code == RUNNING && TASK(BUDGET) <= 0.0) code = MAXIT;
    OUTCOME(CODE) = code;
    OUTCOME(ITERATIONS) = OUTCOME(QLP_ITERATIONS) = OUTCOME(OUT_A_NORM) = OUTCOME(OUT_X_NORM) = 0.0;
    OUTCOME(OUT_A_COND) = 1.0;
    for (int k = 1; code == RUNNING; k++) {
        product(A, shift, u, p, n);
        sum = 0.0;
        for EACH (i, n) sum += u[i] * p[i];
        double alpha = total(sum, cells);
        sum = 0.0;
        for EACH (i, n) {
            p[i] -= S.beta * u_prev[i] + alpha * u[i];
            sum += p[i] * p[i];
        }
        square = total(sum, cells);
        Step t;
        State N = advance(k, S, alpha, sqrt(square), &t);
        int qlp = N.A_cond >= trancond;
        qlp_iterations += qlp;

        double longer = MAXIMUM(t.x_norm_short, TASK(X0_NORM));
        double scale = N.A_norm * longer + TASK(B_NORM);
        int null = k == 2 && N.first <= EPS * sqrt((double)n) * N.A_norm;
        int is_long = k > 1 && t.x_norm > TASK(LONGEST);
        int spent = TASK(BUDGET) <= k;
        if (k == n && n <= KEEP_BASIS_UP_TO && first_pass)
            spent = spent || (N.phi > 1e-4 * scale && t.cokernel > 1e-4 * N.A_norm);
        int ill = N.A_cond >= acondlim;
        int maybe_singular = t.cokernel <= singular_rtol * N.A_norm;
        int broken = !IS_FINITE(N.beta);
        int cokernel = t.cokernel <= TASK(COKERNEL_RTOL) * N.A_norm;
        int deflated = fabs(N.gamma4) <= sqrt(EPS) * N.A_norm;
        int note = maybe_singular && !noted;
        int singular = (maybe_singular || noted) && (ill || is_long || N.A_cond >= SINGULAR_COND);
        int residual = N.phi <= TASK(GOAL) + TASK(RTOL) * scale;
        int stop = residual || cokernel || singular || null || is_long || ill || broken || spent;

        if (stop || note) {
            int full = residual && !(cokernel || singular);
            int is_short = (note || singular || is_long || ill || (cokernel && deflated)) && !full;
            int before = broken || (cokernel && !is_short);
            double ended = broken                            ? NON_FINITE
                           : null || cokernel || singular    ? LEAST_SQUARES
                           : residual                        ? RESIDUAL
                           : note                            ? LEAST_SQUARES
                           : is_long                         ? MAXXNORM
                           : ill                             ? ACONDLIM
                                                             : MAXIT;
            int closer = residual || N.phi < 0.5 * noted_phi;
            int stands = noted && !(cokernel || (closer && !singular));
            if (!stands) {
                for EACH (i, n) {
                    Vectors Y = {w1[i], w[i], y[i]};
                    x[i] = null ? 0.0 : solution(S, t, Y, u[i], was_qlp, is_short, before);
                }
                double low = MINIMUM(N.gamma_min, N.gamma5);
                double cond = broken ? S.A_cond : is_short ? N.A_norm / low : N.A_cond;
                OUTCOME(OUT_A_NORM) = broken ? S.A_norm : N.A_norm;
                OUTCOME(OUT_A_COND) = MAXIMUM(cond, 1.0);
                OUTCOME(OUT_X_NORM) = is_short ? t.x_norm_short : t.x_norm;
            }
            if (stop) {
                code = ended;
                OUTCOME(CODE) = code;
                OUTCOME(ITERATIONS) = k;
                OUTCOME(QLP_ITERATIONS) = qlp_iterations;
            }
            noted_phi = note ? S.phi : noted_phi;
            noted = noted || note;
        }
        double scaled = 1.0 / MAXIMUM(N.beta, TINY);
        for EACH (i, n) {
            Vectors Y = {w1[i], w[i], y[i]};
            Y = update(S, t, Y, u[i], was_qlp, qlp);
            w1[i] = Y.w1;
            w[i] = Y.w;
            y[i] = Y.x;
            u_prev[i] = u[i];
            u[i] = p[i] * scaled;
        }
        BARRIER();
        S = N;
        was_qlp = qlp;
    }
}

#ifdef __CUDACC__
extern "C" __global__ void minres_qlp_pass(
    const double *A, const double *shift, const double *b, const double *task, int n, int B,
    double acondlim, double trancond, int first_pass, double *x, double *outcome) {
    extern __shared__ double memory[];
    long long i = blockIdx.x;
    run_pass(A + i * n * n, shift[i], b + i * n, task + i, n, B, acondlim, trancond, first_pass,
             x + i * n, outcome + i, memory);
}
#else
void minres_qlp_pass(const double *A, const double *shift, const double *b, const double *task, int n,
                     int B, double acondlim, double trancond, int first_pass, double *x,
                     double *outcome, double *memory) {
    for (long long i = 0; i < B; i++)
        run_pass(A + i * n * n, shift[i], b + i * n, task + i, n, B, acondlim, trancond, first_pass,
                 x + i * n, outcome + i, memory);
}
#endif
