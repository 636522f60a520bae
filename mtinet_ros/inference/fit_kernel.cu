// SPDX-License-Identifier: Apache-2.0
//
// A camera's bytes as the network takes them: color, averaging, interpolation and padding in one
// kernel. `Fit.apply` (perception/fit.py) on a decoded image is the measure: equal to one gray level.
//
// It is plain C on whole numbers, so that every compiler makes the same results of it: NVRTC for the
// GPU, and the system's own for the tests, which hold it against `Fit.apply` without a GPU. Its
// argument, `FitJob`, is declared by `kernel_source` (fit_kernel.py), which also says what it means.

#ifdef __CUDACC__
#define INLINE static __device__ __forceinline__
#else
#define INLINE static inline
#endif

#define MAX_HALVINGS 6

typedef unsigned char Byte;
typedef unsigned long long Wide;

enum { PACKED, YUV_422, NV21, BAYER };

typedef struct {
    int r, g, b;
} Rgb;

INLINE int smaller(int a, int b) { return a < b ? a : b; }
INLINE int larger(int a, int b) { return a > b ? a : b; }
INLINE int to_byte(int value) { return larger(0, smaller(255, value)); }

INLINE Rgb rgb(int r, int g, int b) {
    Rgb color;
    color.r = r;
    color.g = g;
    color.b = b;
    return color;
}

// Bytes to RGB, pixel by pixel, as image_message.py does it.

INLINE int sample(const FitJob *job, const Byte *pixel, int channel) {
    if (job->sample_bytes == 1) return pixel[channel];
    const int value = job->is_bigendian ? pixel[2 * channel] << 8 | pixel[2 * channel + 1]
                                        : pixel[2 * channel + 1] << 8 | pixel[2 * channel];
    return (value + 128) / 257;
}

// ITU-R BT.601, studio swing, in units of 2^-20: OpenCV's own whole numbers.
INLINE Rgb from_yuv(int y, int u, int v) {
    const int half = 1 << 19;
    y = larger(y - 16, 0) * 1220542;
    u -= 128;
    v -= 128;
    return rgb(to_byte((y + 1673527 * v + half) >> 20),
               to_byte((y - 852492 * v - 409993 * u + half) >> 20),
               to_byte((y + 2116026 * u + half) >> 20));
}

// The missing colors are the averages of the neighbors that have them; the border is a copy.
INLINE Rgb from_bayer(const FitJob *job, int x, int y) {
    x = larger(1, smaller(job->width - 2, x));
    y = larger(1, smaller(job->height - 2, y));
    const Byte *here = job->source + y * job->step + x;
    const Byte *above = here - job->step, *below = here + job->step;
    const int beside = (here[-1] + here[1] + 1) >> 1, upright = (*above + *below + 1) >> 1;
    const int is_red_row = (y & 1) == job->second;
    if (((x & 1) == job->first) != is_red_row)  // green
        return is_red_row ? rgb(beside, *here, upright) : rgb(upright, *here, beside);
    const int corners = (above[-1] + above[1] + below[-1] + below[1] + 2) >> 2;
    const int green = (here[-1] + here[1] + *above + *below + 2) >> 2;
    return is_red_row ? rgb(*here, green, corners) : rgb(corners, green, *here);
}

INLINE Rgb decoded(const FitJob *job, int x, int y) {
    const Byte *row = job->source + y * job->step;
    if (job->layout == PACKED) {
        const Byte *pixel = row + (long long)x * job->pixel_bytes;
        return rgb(sample(job, pixel, job->first), sample(job, pixel, job->second),
                   sample(job, pixel, job->third));
    }
    if (job->layout == YUV_422) {
        const Byte *pair = row + 4LL * (x >> 1);
        return from_yuv(pair[job->first + 2 * (x & 1)], pair[job->second], pair[job->third]);
    }
    if (job->layout == NV21) {
        const Byte *vu = job->source + (job->height + (y >> 1)) * job->step + (x & ~1);
        return from_yuv(row[x], vu[1], vu[0]);
    }
    return from_bayer(job, x, y);
}

// A pixel of the image after its halvings, each rounded by itself: four make one, four of those one.
INLINE Rgb halved(const FitJob *job, int x, int y) {
    const int halvings = job->halvings;
    if (halvings == 0) return decoded(job, x, y);
    Rgb sums[MAX_HALVINGS];
    for (int place = 0;; place++) {
        // The bits of `place` are, from the lowest: x, y of each halving, the last one's highest.
        int inner_x = 0, inner_y = 0;
        for (int level = 0; level < halvings; level++) {
            inner_x |= (place >> 2 * level & 1) << level;
            inner_y |= (place >> (2 * level + 1) & 1) << level;
        }
        Rgb value = decoded(job, (x << halvings) + inner_x, (y << halvings) + inner_y);
        for (int level = 0, rest = place;; rest >>= 2) {
            Rgb *sum = &sums[level];
            *sum = rest & 3 ? rgb(sum->r + value.r, sum->g + value.g, sum->b + value.b) : value;
            if ((rest & 3) != 3) break;
            value = rgb((sum->r + 2) >> 2, (sum->g + 2) >> 2, (sum->b + 2) >> 2);
            if (++level == halvings) return value;
        }
    }
}

// To the nearest, halves to the even one.
INLINE int quotient(Wide sum, Wide weight) {
    const Wide whole = sum / weight, rest = 2 * (sum % weight);
    return (int)(whole + (rest > weight || (rest == weight && (whole & 1))));
}

// A pixel of an image that shrinks: the average of the area that it covers. Lengths are in units of
// which a pixel of the halved image has as many as the result has pixels, and the other way round.
INLINE Rgb averaged(const FitJob *job, int column, int line) {
    const int width = job->width >> job->halvings, height = job->height >> job->halvings;
    const int left = column * width, right = left + width;
    const int top = line * height, bottom = top + height;
    Wide red = 0, green = 0, blue = 0;
    for (int y = top / job->content_height; y * job->content_height < bottom; y++) {
        const int begin = y * job->content_height;
        const Wide weight = smaller(begin + job->content_height, bottom) - larger(begin, top);
        Rgb sum = rgb(0, 0, 0);
        for (int x = left / job->content_width; x * job->content_width < right; x++) {
            const int start = x * job->content_width;
            const int length = smaller(start + job->content_width, right) - larger(start, left);
            const Rgb value = halved(job, x, y);
            sum.r += length * value.r;
            sum.g += length * value.g;
            sum.b += length * value.b;
        }
        red += weight * sum.r;
        green += weight * sum.g;
        blue += weight * sum.b;
    }
    const Wide area = (Wide)width * height;
    return rgb(quotient(red, area), quotient(green, area), quotient(blue, area));
}

// The two pixels of a line between whose centers another's lies, and what each counts, of 2048.
typedef struct {
    int index, next, weight, next_weight;
} Place;

INLINE Place place_of(int pixel, int size, int content_size) {
    const int whole = 2 * content_size, position = (2 * pixel + 1) * size - content_size;
    const int before = position < 0 ? -1 : position / whole;
    const Wide rest = position - before * whole;
    Place place;
    place.index = larger(before, 0);
    place.next = smaller(before + 1, size - 1);
    place.next_weight = (int)((2048 * rest + content_size) / whole);
    place.weight = 2048 - place.next_weight;
    return place;
}

// A pixel of an image that grows: along a row, scaled by 2048, and then along the column, with OpenCV's own truncations.
INLINE int along(Place x, int left, int right) {
    return (x.weight * left + x.next_weight * right) >> 4;
}

INLINE int across(Place y, int above, int below) {
    return ((y.weight * above >> 16) + (y.next_weight * below >> 16) + 2) >> 2;
}

INLINE Rgb interpolated(const FitJob *job, int column, int line) {
    const Place x = place_of(column, job->width, job->content_width);
    const Place y = place_of(line, job->height, job->content_height);
    Rgb rows[2];
    for (int row = 0; row < 2; row++) {
        const Rgb left = decoded(job, x.index, row ? y.next : y.index);
        const Rgb right = decoded(job, x.next, row ? y.next : y.index);
        rows[row] = rgb(along(x, left.r, right.r), along(x, left.g, right.g),
                        along(x, left.b, right.b));
    }
    return rgb(across(y, rows[0].r, rows[1].r), across(y, rows[0].g, rows[1].g),
               across(y, rows[0].b, rows[1].b));
}

INLINE void fit_pixel(const FitJob *job, int x, int y) {
    const int column = x - job->left, line = y - job->top;
    Rgb color = rgb(job->pad_red, job->pad_green, job->pad_blue);
    if (column >= 0 && column < job->content_width && line >= 0 && line < job->content_height)
        color = job->grows ? interpolated(job, column, line) : averaged(job, column, line);
    Byte *pixel = job->out + 3LL * (y * job->out_width + x);
    pixel[0] = (Byte)color.r;
    pixel[1] = (Byte)color.g;
    pixel[2] = (Byte)color.b;
}

#ifdef __CUDACC__
extern "C" __global__ void fit_image(FitJob job) {
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
    if (x < job.out_width && y < job.out_height) fit_pixel(&job, x, y);
}
#else
void fit_image(const FitJob *job) {
    for (int y = 0; y < job->out_height; y++)
        for (int x = 0; x < job->out_width; x++) fit_pixel(job, x, y);
}
#endif
